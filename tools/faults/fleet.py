"""Lines, their forwarders and three NATS servers on one machine, and what may happen to them.

The lines are real daemons whose scoring is the stub; forwarders stand back for them, as their unit has it.
What a line published is heard here by its own numbers, and compared with what is in its stream.
"""

from __future__ import annotations

import itertools
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import cv2
import msgspec
import numpy as np
import zmq
from faults import clock
from support.daemon import WELL, Daemon, camera_table, settings
from support.disks import fill, tmpfs
from support.forwarder import ForwarderProcess
from support.nats_cluster import NatsCluster

from inspectd.fleet.streams import end_of
from inspectd.wire.sync import Position

_HOUR_SECONDS: Final = 3600
_TURN_SECONDS: Final = 0.05
_NICE: Final = "10"
_ADDRESSES: Final = ("10.213.8.1", "10.213.8.2", "10.213.8.3")
"""Of the servers, in a network namespace of this program alone."""


class _Judged(msgspec.Struct):
    epoch: int
    seq: int
    latency_ms: float


class LineEar:
    """Hears what a line publishes: names of verdicts, in order, and how long each took."""

    def __init__(self, runtime_dir: Path) -> None:
        self.positions: list[Position] = []
        self.latencies_ms: list[float] = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        for camera in ("top",):
            self._socket.subscribe(f"i1/test/{runtime_dir.parent.name}/{camera}/v/".encode())
        self._socket.connect(f"ipc://{runtime_dir}/verdicts.sock")
        self._decode = msgspec.json.Decoder(_Judged).decode

    def hear(self) -> None:
        """Take in what has come."""
        while self._socket.poll(0):
            judged = self._decode(self._socket.recv_multipart()[1])
            self.positions.append(Position(judged.epoch, judged.seq))
            self.latencies_ms.append(judged.latency_ms)

    def close(self) -> None:
        """Disconnect."""
        self._context.destroy(linger=0)


class Fleet:
    """Everything, started.

    Args:
        folder: for all files.
        lines: how many.
        rate: verdicts a second of each.
        steps_clock: the first line's host has a clock that can be set.
    """

    def __init__(self, folder: Path, lines: int, rate: float, *, steps_clock: bool = False) -> None:
        self._stack = ExitStack()
        self.names = tuple(f"l{number}" for number in range(1, lines + 1))
        self._clock = folder / "clock"
        clock.set_to(self._clock, 0)
        self.stores = [self._stack.enter_context(tmpfs(folder / f"disk{index}", "3g")) for index in range(3)]
        pictures = _pictures(folder)
        self.daemons: dict[str, Daemon] = {}
        self.ears: dict[str, LineEar] = {}
        for name in self.names:
            (folder / name).mkdir()
            camera = camera_table("top", pictures, fps=rate, slots=64)
            text = settings(Path("stub.bank"), camera, deadline_ms=2000).replace(
                'name = "line"', f'name = "{name}"'
            )
            environment = clock.by(self._clock) if steps_clock and name == self.names[0] else None
            daemon = Daemon(folder / name, text, environment, behaviour=WELL)
            self._stack.callback(daemon.close)
            self.daemons[name] = daemon
            self.ears[name] = LineEar(daemon.runtime_dir)
            self._stack.callback(self.ears[name].close)
        for daemon in self.daemons.values():
            daemon.ready()
            daemon.reader.close()  # its queue has no bound
        self.cluster = NatsCluster(
            folder / "nats", self.names, stores=[store / "js" for store in self.stores], addresses=_ADDRESSES
        )
        self._stack.callback(self.cluster.close)
        self.forwarders: dict[str, ForwarderProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_servers(self) -> None:
        """Start the servers, and make all streams."""
        self.cluster.start()
        self.cluster.make_streams()
        self.nice()

    def start_forwarders(self) -> None:
        """Start a forwarder for each line."""
        for name in self.names:
            forwarder = ForwarderProcess(
                self.cluster.folder, self.cluster, name, self.daemons[name].runtime_dir,
                forward="compare_minutes = 1",
            )  # fmt: skip
            self._stack.callback(forwarder.close)
            self.forwarders[name] = forwarder
        self.nice()

    def nice(self) -> None:
        """Have forwarders stand back for the lines."""
        pids = [forwarder.pid for forwarder in self.forwarders.values() if forwarder.is_running]
        if not pids:
            return
        subprocess.run(["renice", "-n", _NICE, "-p", *map(str, pids)], check=True, capture_output=True)

    def step_clock(self, hours: int) -> None:
        """Set the first line's clock so many hours ahead of the machine's."""
        clock.set_to(self._clock, hours * _HOUR_SECONDS)

    def hear(self, seconds: float) -> None:
        """Let time pass, and hear the lines."""
        until = time.monotonic() + seconds
        while True:
            for ear in self.ears.values():
                ear.hear()
            if time.monotonic() >= until:
                return
            time.sleep(_TURN_SECONDS)

    def p99_ms(self, seconds: float) -> float:
        """The 99th percentile of latency of all lines, over so long from now."""
        for ear in self.ears.values():
            ear.hear()
            ear.latencies_ms.clear()
        self.hear(seconds)
        return self.p99_so_far_ms()

    def p99_so_far_ms(self) -> float:
        """The same since it was last asked for."""
        every = [each for ear in self.ears.values() for each in ear.latencies_ms]
        for ear in self.ears.values():
            ear.latencies_ms.clear()
        return statistics.quantiles(every, n=100)[98]

    def drained(self, patience_seconds: float) -> float:
        """Seconds until the streams have all that was published by now."""
        began = time.monotonic()
        wanted = {name: ear.positions[-1] for name, ear in self.ears.items()}
        for name, position in wanted.items():
            while self._end(name) < position:
                assert self.forwarders[name].is_running, f"the forwarder of {name} ended by itself"
                assert time.monotonic() - began < patience_seconds, f"{name} is not drained"
                self.hear(0.1)
        return time.monotonic() - began

    def _end(self, name: str) -> Position:
        end = self.cluster.as_user(name, lambda servers: end_of(servers, self.cluster.lines[name]))
        return end.position or Position(0, 0)

    def compared(self, name: str) -> StreamFigures:
        """What a line published, against what its stream has."""
        published = [*self.ears[name].positions]
        stored = self.cluster.positions(name)
        in_order = [position for kind, position in stored if kind == "v"]
        every = [position for _, position in stored]
        return StreamFigures(
            len(published),
            len(stored),
            len({*published} - {*every}),
            len(every) - len({*every}),
            sum(after <= before for before, after in itertools.pairwise(in_order)),
            len(every) - len(in_order),
        )


class StreamFigures(msgspec.Struct, frozen=True):
    """What became of one line's verdicts."""

    published: int
    stored: int
    lost: int
    double: int
    out_of_order: int
    repaired: int


class Mishaps:
    """What happens to a fleet: each mishap takes its time, and is over when it returns.

    Args:
        fleet: whose.
        random: chooses.
        say: takes one line for people.
        longest_seconds: that one lasts.
    """

    def __init__(
        self,
        fleet: Fleet,
        random: random.Random,
        say: Callable[[str], None],
        *,
        longest_seconds: float = 20.0,
    ) -> None:
        self.counts: dict[str, int] = {}
        self._longest_seconds = longest_seconds
        self._fleet, self._random, self._say = fleet, random, say
        self._hours = 0

    def every(self) -> list[Callable[[], None]]:
        """All kinds that this fleet can have."""
        return [
            self.kill_follower, self.kill_leader, self.kill_two, self.kill_all, self.kill_forwarder,
            self.kill_all_forwarders, self.stand_still, self.cut_link, self.fill_disk, self.set_clock,
            self.hand_over,
        ]  # fmt: skip

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
        """All forwarders and the leader are killed at once."""
        leader = self._leader()
        self._fleet.cluster.kill(leader)
        self._end_forwarders("kill_all_forwarders", *self._fleet.names)
        self._fleet.cluster.start(leader)
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
        self._begin("cut_link", index)
        with self._fleet.cluster.cut_off(index):
            self._last(1, 20)

    def fill_disk(self) -> None:
        """The disk of a server is full; it is made room on, and the server is started again."""
        index = self._random.randrange(3)
        self._begin("fill_disk", index)
        ballast = fill(self._fleet.stores[index])
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


def _pictures(folder: Path) -> Path:
    """Small ones, of which one in ten is no good."""
    root = folder / "pictures"
    for number in range(20):
        label = root / ("bad" if number % 10 == 9 else "good")
        label.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(60, 190, (32, 32), np.uint8)
        cv2.imwrite(str(label / f"{number:02}.png"), noise)
    return root


def rests(total_seconds: float, chooser: random.Random) -> Iterator[float]:
    """Times between mishaps, from none to ten seconds, until the total is over."""
    until = time.monotonic() + total_seconds
    while time.monotonic() < until:
        yield chooser.choice((0.0, 1.0, 3.0, 10.0))
