"""Lines, their forwarders and agents, three NATS servers and a hub on one machine.

The lines are real daemons whose scoring is the stub; all others stand back for them, as forwarders and agents
have it in their units, and the rest is on other hosts. What a line published is heard here by its own
numbers, and compared with what is in its stream and in the hub's database.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import cv2
import msgspec
import numpy as np
import zmq
from faults import clock
from support.agents import (
    AgentProcess,
    MadeRecipe,
    Signers,
    know_banks,
    line_settings,
    make_recipe,
    publish,
    report,
    tell,
)
from support.daemon import WELL, Daemon, camera_table, settings
from support.disks import PowerDisk, tmpfs
from support.forwarder import ForwarderProcess
from support.hub_lines import counted_in, positions_in
from support.hub_process import HubProcess
from support.nats_cluster import NatsCluster
from support.orders import people_with_keys

from inspectd.fleet.agent.report import FleetReport
from inspectd.fleet.streams import end_of
from inspectd.wire.sync import Position

_HOUR_SECONDS: Final = 3600
_TURN_SECONDS: Final = 0.05
_NICE: Final = "10"
_ADDRESSES: Final = ("10.213.8.1", "10.213.8.2", "10.213.8.3")
"""Of the servers, in a network namespace of this program alone."""
_DISK_MB: Final = 3900
_JOURNAL_MB: Final = 1500
"""Holds more verdicts than are made in the longest time without servers."""
_KEPT_GB: Final = 1.0


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
        images = self._stack.enter_context(tmpfs(folder / "images", f"{3 * _DISK_MB + 100}m"))
        self.disks = [PowerDisk(folder / f"disk{index}", images / str(index), _DISK_MB) for index in range(3)]
        for disk in self.disks:
            self._stack.callback(disk.close)
        self.signers = Signers(people_with_keys(folder, "anna", "otto"))
        self.recipe: MadeRecipe = make_recipe(folder / "made", megabytes=1)
        pictures = _pictures(folder)
        self.daemons: dict[str, Daemon] = {}
        self.ears: dict[str, LineEar] = {}
        for name in self.names:
            (folder / name).mkdir()
            camera = camera_table("top", pictures, fps=rate, slots=64)
            journal = f"[journal]\nmax_mb = {_JOURNAL_MB}\n"
            text = settings(Path("stub.bank"), camera, deadline_ms=2000, extra=journal)
            environment = clock.by(self._clock) if steps_clock and name == self.names[0] else None
            daemon = Daemon(folder / name, line_settings(text, name), environment, behaviour=WELL)
            self._stack.callback(daemon.close)
            self.daemons[name] = daemon
            self.ears[name] = LineEar(daemon.runtime_dir)
            self._stack.callback(self.ears[name].close)
        for daemon in self.daemons.values():
            daemon.ready()
            daemon.reader.close()  # its queue has no bound
            know_banks(daemon, self.recipe)
        stores = [disk.folder / "js" for disk in self.disks]
        self.cluster = NatsCluster(
            folder / "nats", self.names, stores=stores, addresses=_ADDRESSES, max_disk="3500MB"
        )
        self._stack.callback(self.cluster.close)
        self.forwarders: dict[str, ForwarderProcess] = {}
        self.agents: dict[str, AgentProcess] = {}
        self.hub = HubProcess(folder / "hub", self.cluster, f"sqlite:///{folder / 'hub.sqlite'}")
        self._stack.callback(self.hub.close)
        self._published: dict[str, list[Position]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_servers(self) -> None:
        """Start the servers, and make all streams."""
        self.cluster.start()
        self.cluster.make_streams(max_gb=_KEPT_GB)
        self.cluster.make_fleet_streams()
        self.nice()

    def start_clients(self) -> None:
        """Start a forwarder and an agent for each line, and the hub."""
        for name in self.names:
            forwarder = ForwarderProcess(
                self.cluster.folder, self.cluster, name, self.daemons[name].runtime_dir,
                forward="compare_minutes = 1",
            )  # fmt: skip
            self._stack.callback(forwarder.close)
            self.forwarders[name] = forwarder
            self.agents[name] = AgentProcess(self.cluster, name, self.daemons[name], self.signers)
            self._stack.callback(self.agents[name].close)
        self.hub.start()
        self.nice()

    def nice(self) -> None:
        """Have everything but the lines stand back for them."""
        clients = [*self.forwarders.values(), *self.agents.values()]
        pids = [client.pid for client in clients if client.is_running]
        others = [*self.cluster.processes.values(), *([self.hub.process] if self.hub.process else [])]
        pids += [process.pid for process in others]
        subprocess.run(["renice", "-n", _NICE, "-p", *map(str, pids)], check=True, capture_output=True)

    def order(self) -> None:
        """Tell every line to run a recipe."""
        publish(self.cluster, self.recipe)
        for name in self.names:
            tell(self.cluster, name, self.signers.order(self.recipe.ordered, 1, *self.names))

    def runs(self, name: str) -> FleetReport | None:
        """What a line says it runs."""
        return report(self.cluster, name)

    def stop_lines(self) -> None:
        """Have no more verdicts made."""
        for daemon in self.daemons.values():
            daemon.close()

    def read_by_hub(self, patience_seconds: float) -> dict[str, HubFigures]:
        """What the hub's database has of each line, once it has as many as `compared` looks at."""
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            counted = counted_in(self.hub.url)
            if all(counted.get(name, 0) >= len(some) for name, some in self._published.items()):
                break
            self.hear(1.0)
        counted, found = counted_in(self.hub.url), positions_in(self.hub.url)
        # What the hub wrote between two questions is in the second answer alone.
        while (again := counted_in(self.hub.url)) != counted and time.monotonic() < deadline:
            counted, found = again, positions_in(self.hub.url)
        return {
            name: HubFigures(
                len(found.get(name, ())),
                len({*published} - {*found.get(name, ())}),
                counted.get(name, 0),
            )
            for name, published in self._published.items()
        }

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
        """Seconds until the streams have all that was published by now, which is what `compared` looks at."""
        began = time.monotonic()
        self._published = {name: [*ear.positions] for name, ear in self.ears.items()}
        for name, published in self._published.items():
            position = published[-1]
            while self._end(name) < position:
                assert self.forwarders[name].is_running, f"the forwarder of {name} ended by itself"
                assert time.monotonic() - began < patience_seconds, f"{name} is not drained"
                self.hear(0.1)
        return time.monotonic() - began

    def _end(self, name: str) -> Position:
        end = self.cluster.as_user(name, lambda servers: end_of(servers, self.cluster.lines[name]))
        return end.position or Position(0, 0)

    def compared(self, name: str) -> StreamFigures:
        """What a line had published when it was last `drained`, against what its stream has."""
        published = self._published[name]
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


class HubFigures(msgspec.Struct, frozen=True):
    """What the hub has of one line's verdicts."""

    rows: int
    lost: int
    counted: int


def _pictures(folder: Path) -> Path:
    """Small ones, of which one in ten is no good."""
    root = folder / "pictures"
    for number in range(20):
        label = root / ("bad" if number % 10 == 9 else "good")
        label.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(60, 190, (32, 32), np.uint8)
        cv2.imwrite(str(label / f"{number:02}.png"), noise)
    return root
