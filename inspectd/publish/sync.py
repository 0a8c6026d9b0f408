"""The `sync` socket: says how far the line got, and sends again what readers missed.

A request is answered in chunks, one at a time for each client, and only so many requests wait: neither a
reader that asks for everything nor one that asks without end holds up a verdict.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from inspectd.publish import replay
from inspectd.publish.bus import Bus
from inspectd.publish.journal import Journal
from inspectd.publish.journal_rows import Reading
from inspectd.publish.replay import (
    End,
    Error,
    ErrorReason,
    Position,
    ReplayRequest,
    Snapshot,
    Truncated,
    Verdicts,
)

_VERDICTS_PER_CHUNK: Final = 100
_MAX_WAITING: Final = 64
_MAX_WAITING_OF_CLIENT: Final = 4
_MAX_DETAIL_CHARACTERS: Final = 300


class Observer(Protocol):
    """What is reported for the metrics."""

    def sync_request(self, kind: str) -> None:
        """A request was answered: `snapshot`, `replay`, or the reason it was refused."""

    def replayed(self, verdicts: int) -> None:
        """So many verdicts were sent again."""


class _Job(msgspec.Struct):
    client: bytes
    request: str
    first: Position | None
    last: Position
    left: int
    envelope: list[bytes]
    messages: int = 0


class SyncStage:
    """Answers every message on the socket, whatever it is."""

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        last: Callable[[], Position],
        snapshot: Callable[[str, Position | None], Snapshot],
        observer: Observer,
    ) -> None:
        """Answer from `journal`.

        Args:
            bus: whose `sync` socket it is.
            journal: where verdicts are read back.
            last: the last published verdict's name.
            snapshot: makes a snapshot of a request id and the oldest position.
            observer: hears of requests.
        """
        self._bus = bus
        self._journal = journal
        self._last = last
        self._snapshot = snapshot
        self._observer = observer
        self._waiting: deque[_Job] = deque()
        self._is_reading = False

    def read(self) -> None:
        """Take what has come."""
        for client, parts in self._bus.requests(self._bus.sync):
            # A REQ socket puts an empty part before its message and wants it back; a DEALER need not.
            envelope = parts[:1] if len(parts) > 1 and not parts[0] else []
            self._take(client, envelope, parts[len(envelope) :])

    def _take(self, client: bytes, envelope: list[bytes], parts: list[bytes]) -> None:
        try:
            request = replay.decode_request(parts)
        except ValueError as error:
            self._refuse(client, envelope, None, ErrorReason.MALFORMED, str(error))
            return
        waiting = sum(job.client == client for job in self._waiting)
        if waiting >= _MAX_WAITING_OF_CLIENT or len(self._waiting) >= _MAX_WAITING:
            detail = f"{waiting} requests of this client and {len(self._waiting)} of all wait"
            self._refuse(client, envelope, request.request, ErrorReason.BUSY, detail)
            return
        if isinstance(request, ReplayRequest):
            self._observer.sync_request("replay")
            last = min(self._last(), request.last) if request.last is not None else self._last()
            job = _Job(client, request.request, request.first, last, request.limit, envelope)
        else:
            self._observer.sync_request("snapshot")
            job = _Job(client, request.request, None, self._last(), 0, envelope)
        self._waiting.append(job)
        self._next()

    def _refuse(
        self, client: bytes, envelope: list[bytes], request: str | None, reason: ErrorReason, detail: str
    ) -> None:
        self._observer.sync_request(reason)
        error = Error(request, reason, detail[:_MAX_DETAIL_CHARACTERS])
        self._bus.reply(self._bus.sync, client, [*envelope, replay.encode(error)])

    def _next(self) -> None:
        """Read the next chunk for whoever has waited longest."""
        if self._is_reading or not self._waiting:
            return
        self._is_reading = True
        job = self._waiting.popleft()
        limit = min(job.left, _VERDICTS_PER_CHUNK) or 1
        self._journal.read(job.first, job.last, limit, lambda reading: self._chunk(job, reading))

    def _chunk(self, job: _Job, reading: Reading | None) -> None:
        """A chunk was read: send it; if there is more of the request, it waits at the end of the queue."""
        self._is_reading = False
        if job.left == 0:
            oldest = reading.oldest if reading is not None else None
            self._send(job, replay.encode(self._snapshot(job.request, oldest)))
        elif reading is None:  # an end would say that there is nothing, for good
            detail = "the journal cannot be read now"
            self._refuse(job.client, job.envelope, job.request, ErrorReason.BUSY, detail)
        elif self._send_chunk(job, reading) and job.left > 0:
            self._waiting.append(job)
        self._next()

    def _send_chunk(self, job: _Job, reading: Reading) -> bool:
        """Send what was read; False when the client is gone."""
        if reading.truncated and job.messages == 0:
            oldest = reading.oldest or Position(job.last.epoch, job.last.seq + 1)
            if not self._send(job, replay.encode(Truncated(job.request, oldest))):
                return False
        found = reading.verdicts
        if found:
            parts = [part for stored in found for part in (stored.topic, stored.header)]
            if not self._send(job, replay.encode(Verdicts(job.request, len(found))), *parts):
                return False
            self._observer.replayed(len(found))
            through = found[-1].position
            job.first = Position(through.epoch, through.seq + 1)
        is_all = len(found) < min(job.left, _VERDICTS_PER_CHUNK)
        job.left -= len(found)
        if is_all or job.left == 0:
            job.left = 0
            end = End(job.request, job.last if is_all else found[-1].position, is_all, job.messages)
            return self._send(job, replay.encode(end))
        return True

    def _send(self, job: _Job, *parts: bytes) -> bool:
        job.messages += 1
        return self._bus.reply(self._bus.sync, job.client, [*job.envelope, *parts])
