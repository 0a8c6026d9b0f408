"""What may happen to a fleet of lines, forwarders and servers."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from faults.fleet import Fleet
from support.disks import fill


class Mishaps:
    """What happens to a fleet: each mishap takes its time, and is over when it returns.

    Args:
        fleet: whose.
        random: chooses.
        say: takes one line for people.
        longest_seconds: that one lasts, other than a cut link.
        longest_cut_seconds: that a link stays cut.
    """

    def __init__(
        self,
        fleet: Fleet,
        random: random.Random,
        say: Callable[[str], None],
        *,
        longest_seconds: float = 20.0,
        longest_cut_seconds: float = 60.0,
    ) -> None:
        self.counts: dict[str, int] = {}
        self._longest_seconds, self._longest_cut_seconds = longest_seconds, longest_cut_seconds
        self._fleet, self._random, self._say = fleet, random, say
        self._hours = 0

    def every(self) -> list[Callable[[], None]]:
        """All kinds that this fleet can have."""
        return [
            self.kill_follower, self.kill_leader, self.kill_two, self.kill_all, self.cut_power,
            self.stand_still, self.cut_link, self.cut_all_links, self.fill_disk, self.hand_over,
            *self.beside_servers(),
        ]  # fmt: skip

    def beside_servers(self) -> list[Callable[[], None]]:
        """Those that leave the servers as they are."""
        return [self.kill_forwarder, self.kill_all_forwarders, self.kill_agent, self.kill_hub, self.set_clock]

    def one(self) -> None:
        """Any of them."""
        self._random.choice(self.every())()

    def kill_follower(self) -> None:
        """A server that leads no chosen stream is killed."""
        victim = (self._leader() + self._random.choice((1, 2))) % 3
        self._down("kill_follower", victim)

    def kill_leader(self) -> None:
        """The leader of a line's stream is killed."""
        self._down("kill_leader", self._leader())

    def kill_two(self) -> None:
        """Two of three are killed: nothing can be stored."""
        leader = self._leader()
        self._down("kill_two", leader, (leader + 1) % 3)

    def kill_all(self) -> None:
        """All three are killed at once."""
        self._down("kill_all", 0, 1, 2)

    def kill_forwarder(self) -> None:
        """One forwarder is killed."""
        self._end_forwarders("kill_forwarder", self._random.choice(self._fleet.names))

    def kill_all_forwarders(self) -> None:
        """All forwarders are killed at once."""
        self._end_forwarders("kill_all_forwarders", *self._fleet.names)

    def kill_agent(self) -> None:
        """A line's agent is killed."""
        name = self._random.choice(self._fleet.names)
        self._begin("kill_agent", name)
        self._fleet.agents[name].stop(signal.SIGKILL)
        self._last(0.2, 5)
        self._fleet.agents[name].start()
        self._fleet.nice()

    def kill_hub(self) -> None:
        """The hub is killed."""
        self._begin("kill_hub", "")
        self._fleet.hub.end(signal.SIGKILL)
        self._last(0.2, 10)
        self._fleet.hub.start()
        self._fleet.nice()

    def cut_power(self) -> None:
        """The hosts of one, two or all servers lose their power; with all of them forwarders are killed."""
        indices = self._random.sample(range(3), self._random.choice((1, 2, 3, 3)))
        self._begin("cut_power", indices)
        for index in indices:
            self._fleet.disks[index].cut()
        self._fleet.cluster.kill(*indices)
        if len(indices) == len(self._fleet.disks):
            for forwarder in self._fleet.forwarders.values():
                forwarder.stop(signal.SIGKILL)
        for index in indices:
            self._fleet.disks[index].give_power()
        self._last(1, 10)
        self._fleet.cluster.start(*indices)
        for forwarder in self._fleet.forwarders.values():
            if not forwarder.is_running:
                forwarder.start()
        self._fleet.nice()

    def stand_still(self) -> None:
        """A server does nothing for a while, and its connections stay open."""
        index = self._random.randrange(3)
        self._begin("stand_still", index)
        process = self._fleet.cluster.processes[index]
        process.send_signal(signal.SIGSTOP)
        self._last(2, 15)
        process.send_signal(signal.SIGCONT)

    def cut_link(self) -> None:
        """Nothing passes between one server and everybody else, and nobody is told."""
        index = self._random.randrange(3)
        seconds = self._cut_seconds()
        self._begin("cut_link", f"{index} for {seconds:.0f} s")
        with self._fleet.cluster.cut_off(index):
            self._fleet.hear(seconds)

    def cut_all_links(self) -> None:
        """Nothing passes between all servers and everybody else."""
        seconds = self._cut_seconds()
        self._begin("cut_all_links", f"for {seconds:.0f} s")
        with ExitStack() as cut:
            for index in range(3):
                cut.enter_context(self._fleet.cluster.cut_off(index))
            self._fleet.hear(seconds)

    def cut_link_for(self, seconds: float) -> None:
        """One server is cut off so long, while clients are killed and clocks are set."""
        index = self._random.randrange(3)
        self._begin("cut_link_for", f"{index}, {seconds:.0f} s")
        with self._fleet.cluster.cut_off(index):
            for rest in rests(seconds, self._random):
                self._random.choice(self.beside_servers())()
                self._fleet.hear(rest)

    def fill_disk(self) -> None:
        """The disk of a server is full; it is made room on, and the server is started again."""
        index = self._random.randrange(3)
        self._begin("fill_disk", index)
        ballast = fill(self._fleet.disks[index].folder)
        self._last(5, 10)
        ballast.unlink()
        self._fleet.cluster.kill(index)
        self._fleet.cluster.start(index)
        self._fleet.nice()

    def set_clock(self) -> None:
        """The clock of a line's host is set by an hour."""
        self._hours = self._random.choice([hours for hours in (-1, 0, 1) if hours != self._hours])
        self._begin("set_clock", self._hours)
        self._fleet.step_clock(self._hours)
        self._fleet.hear(2)

    def hand_over(self) -> None:
        """A server is stopped as a person stops it: it hands over first."""
        index = self._random.randrange(3)
        self._begin("hand_over", index)
        self._fleet.cluster.kill(index, signum=signal.SIGTERM)
        self._last(1, 5)
        self._fleet.cluster.start(index)
        self._fleet.nice()

    def _leader(self) -> int:
        name = self._random.choice(self._fleet.names)
        return self._fleet.cluster.leader(self._fleet.cluster.lines[name].stream)

    def _last(self, shortest_seconds: float, longest_seconds: float) -> None:
        seconds = self._random.uniform(shortest_seconds, longest_seconds)
        self._fleet.hear(min(seconds, self._longest_seconds))

    def _cut_seconds(self) -> float:
        """Between one second and the longest, each length as often as one twice as long."""
        return self._longest_cut_seconds ** self._random.random()

    def _begin(self, kind: str, which: Any) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._say(f"{kind} {which}")

    def _down(self, kind: str, *indices: int) -> None:
        self._begin(kind, indices)
        self._fleet.cluster.kill(*indices)
        self._last(1, 10)
        self._fleet.cluster.start(*indices)
        self._fleet.nice()

    def _end_forwarders(self, kind: str, *names: str) -> None:
        self._begin(kind, names)
        for name in names:
            self._fleet.forwarders[name].stop(signal.SIGKILL)
        self._last(0.2, 5)
        for name in names:
            self._fleet.forwarders[name].start()
        self._fleet.nice()


def rests(total_seconds: float, chooser: random.Random) -> Iterator[float]:
    """Times between mishaps, from none to ten seconds, until the total is over."""
    until = time.monotonic() + total_seconds
    while time.monotonic() < until:
        yield chooser.choice((0.0, 1.0, 3.0, 10.0))
