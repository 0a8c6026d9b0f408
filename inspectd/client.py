"""What an integrator imports to read a line's verdicts; `docs/wire.md` is the contract it implements.

    with Reader("ipc:///run/inspectd/line1/verdicts.sock") as reader:
        while True:
            message = reader.receive(timeout_seconds=0.2)
            if isinstance(message, Verdict):
                gate.release(message.part_id, passed=message.evaluation is Evaluation.PASS)

A part without a matching `pass` in time is rejected, by whoever holds the gate: this reader says what
it heard, what it missed and whether the line is still alive, and never guesses a verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import zmq

from inspectd.errors import InputError
from inspectd.publish import wire
from inspectd.publish.wire import Event, Heartbeat, HeatmapHeader
from inspectd.records import Verdict

MISSED_HEARTBEATS: Final = 3
"""So many heartbeats in a row without one arriving make a line stale."""
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_VALUE_BYTES: Final = {"float16": 2, "float32": 4}


class Heatmap(msgspec.Struct, frozen=True):
    """One heatmap; `values` are `(height, width)` of the header's dtype, little endian, row by row."""

    plant: str
    line: str
    header: HeatmapHeader
    values: bytes


Message = Verdict | Heartbeat | Event | Heatmap


class Liveness(StrEnum):
    """What a reader may assume of a line. Only `alive` may let a part through."""

    WAITING = "waiting"
    """Nothing was heard yet."""
    ALIVE = "alive"
    STALE = "stale"
    """Heartbeats stopped without a word."""
    STOPPED = "stopped"
    """The daemon said that it stops."""


class LineTracker:
    """What one reader has heard of one line: its numbering, its gaps, its heartbeats.

    Args:
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.epoch: int | None = None
        self.last_seq = 0
        self.received = 0
        """Verdicts received, without duplicates."""
        self.missed = 0
        """Verdicts that were published while this reader listened and never arrived."""
        self.duplicates = 0
        self.heartbeat: Heartbeat | None = None
        self._heartbeat_at = 0.0
        self._stopped = False
        self._clock = clock

    def see_verdict(self, verdict: Verdict) -> bool:
        """Count a verdict; False if it was received before."""
        if verdict.epoch == self.epoch and verdict.seq <= self.last_seq:
            self.duplicates += 1
            return False
        self._reach(verdict.epoch, verdict.seq, before=verdict.seq - 1)
        self.received += 1
        return True

    def see_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Note a sign of life; a `last_seq` ahead of the verdicts received shows a loss at the tail."""
        self._reach(heartbeat.epoch, heartbeat.last_seq, before=heartbeat.last_seq)
        self.heartbeat = heartbeat
        self._heartbeat_at = self._clock()

    def see_event(self, event: Event) -> None:
        """Note a stop, which is not the same as silence."""
        self._stopped = event.event == "stopped"

    @property
    def liveness(self) -> Liveness:
        """What may be assumed of the line now."""
        if self._stopped:
            return Liveness.STOPPED
        if self.heartbeat is None:
            return Liveness.WAITING
        overdue = self.silent_seconds * 1000 > MISSED_HEARTBEATS * self.heartbeat.interval_ms
        return Liveness.STALE if overdue else Liveness.ALIVE

    @property
    def silent_seconds(self) -> float:
        """Time since the last heartbeat; 0 before the first."""
        return 0.0 if self.heartbeat is None else self._clock() - self._heartbeat_at

    def _reach(self, epoch: int, seq: int, before: int) -> None:
        """Move to `seq`; every number up to `before` that was not received is missed."""
        if self.epoch is None:
            # What was published before this reader came was never its to receive.
            self.last_seq = before
        elif epoch != self.epoch:
            self.last_seq = 0
            self._stopped = False
        self.epoch = epoch
        self.missed += max(0, before - self.last_seq)
        self.last_seq = max(self.last_seq, seq)


class Reader:
    """Reads typed messages of one or more lines. Belongs to the thread that made it.

    Args:
        endpoints: such as `ipc:///run/inspectd/line1/verdicts.sock` or `tcp://127.0.0.1:5571`. A line's
            heatmaps have an endpoint of their own. A publisher that is not there yet is waited for.
        topics: prefixes to subscribe to; all by default. A reader that takes only some of a line's
            verdicts must not trust `LineTracker.missed`, because `seq` counts the whole line.
        clock: seconds on a clock that never goes back.
        queue_messages: messages kept per endpoint while this program is busy; more are lost, and counted
            as missed.

    Raises:
        InputError: an endpoint cannot be one.
    """

    def __init__(
        self,
        *endpoints: str,
        topics: Sequence[bytes] = (b"",),
        clock: Callable[[], float] = time.monotonic,
        queue_messages: int = 10_000,
    ) -> None:
        self.lines: dict[tuple[str, str], LineTracker] = {}
        """By plant and line."""
        self.unreadable = 0
        """Messages that are none of this format; `last_problem` says what was wrong with the last."""
        self.last_problem = ""
        self._clock = clock
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, queue_messages)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic)
        try:
            for endpoint in endpoints:
                self._connect(endpoint)
        except InputError:
            self.close()
            raise

    def receive(self, timeout_seconds: float) -> Message | None:
        """The next message, or None when none came in time; duplicates and foreign messages are skipped."""
        deadline = self._clock() + timeout_seconds
        while self._socket.poll(max(0, round((deadline - self._clock()) * 1000))):
            message = self._read(self._socket.recv_multipart())
            if message is not None:
                return message
        return None

    def line(self, plant: str, line: str) -> LineTracker:
        """What was heard of that line."""
        return self.lines.setdefault((plant, line), LineTracker(self._clock))

    def close(self) -> None:
        """Stop listening."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, endpoint: str) -> None:
        scheme, _, address = endpoint.partition("://")
        expected = "expected ipc:///path/to/verdicts.sock or tcp://127.0.0.1:5571"
        if scheme not in {"ipc", "tcp"} or not address:
            raise InputError(f"endpoint {endpoint!r}: {expected}")
        try:
            # ZeroMQ would wait for ever at a path that can never be one; a socket still to come is fine.
            if scheme == "ipc" and Path(address).exists() and not Path(address).is_socket():
                raise InputError(f"endpoint {endpoint!r}: {address} is not a socket, {expected}")
            self._socket.connect(endpoint)
        except (zmq.ZMQError, OSError) as error:
            raise InputError(f"endpoint {endpoint!r}: {error.strerror}, {expected}") from error

    def _read(self, parts: list[bytes]) -> Message | None:
        try:
            message = _decode(parts)
        except ValueError as error:
            self.unreadable += 1
            self.last_problem = str(error)
            return None
        tracker = self.line(message.plant, message.line)
        match message:
            case Verdict() if not tracker.see_verdict(message):
                return None
            case Heartbeat():
                tracker.see_heartbeat(message)
            case Event():
                tracker.see_event(message)
        return message


def _decode(parts: list[bytes]) -> Message:
    """One message from its parts.

    Raises:
        ValueError: the parts are not a message of this format.
    """
    if not 2 <= len(parts) <= 3:
        raise ValueError(f"got {len(parts)} parts, expected topic, header and perhaps a payload")
    header = wire.decode(parts[1])
    if not isinstance(header, HeatmapHeader):
        return header
    names = parts[0].decode().split("/")
    if len(names) != 6 or len(parts) != 3:
        raise ValueError(f"heatmap with topic {parts[0]!r} and {len(parts)} parts")
    size = header.height * header.width * _VALUE_BYTES.get(header.dtype, 0)
    if min(header.height, header.width) < 1 or size != len(parts[2]) or not size:
        raise ValueError(
            f"heatmap of {len(parts[2])} bytes, expected {header.height} x {header.width} {header.dtype}"
        )
    return Heatmap(names[1], names[2], header, parts[2])
