"""Lines, their forwarders and three NATS servers on one machine, and what may happen to them.

The lines are real daemons whose scoring is the stub; forwarders stand back for them, as their unit has it.
What a line published is heard here by its own numbers, and compared with what is in its stream.
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
from support.daemon import WELL, Daemon, camera_table, settings
from support.disks import tmpfs
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
        self._published: dict[str, list[Position]] = {}

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


def _pictures(folder: Path) -> Path:
    """Small ones, of which one in ten is no good."""
    root = folder / "pictures"
    for number in range(20):
        label = root / ("bad" if number % 10 == 9 else "good")
        label.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(60, 190, (32, 32), np.uint8)
        cv2.imwrite(str(label / f"{number:02}.png"), noise)
    return root
