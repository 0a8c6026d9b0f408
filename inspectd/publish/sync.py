"""The `sync` socket: answers with snapshots, and sends again what readers missed.

A request is answered in chunks, one at a time for each client, and only so many requests wait: neither a
reader that asks for everything nor one that asks without end holds up a verdict.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec

from inspectd import wire
from inspectd.publish.bus import Asker, Bus
from inspectd.publish.door.messages import Delivered, Request
from inspectd.publish.journal.journal import Journal
from inspectd.publish.journal.records import ReplayChunk, Stored
from inspectd.text import MAX_DETAIL_CHARACTERS
from inspectd.wire import sync
from inspectd.wire.sync import (
    End,
    Error,
    ErrorReason,
    LineStatus,
    Position,
    ReplayRequest,
    Snapshot,
    StatusRequest,
    Truncated,
    Verdicts,
)

_VERDICTS_PER_CHUNK: Final = 100
_MAX_WAITING: Final = 64
_MAX_WAITING_OF_CLIENT: Final = 4
_MAX_MESSAGE_BYTES: Final = 131_072  # well below what a kernel's default lets a channel carry at once
_UNREAD_NS: Final = 100_000_000
"""A client that leaves an answer for so long makes room for one that asks, where there is none left."""


class SyncMetrics(Protocol):
    """Takes what is reported for the metrics."""

    def sync_request(self, kind: str) -> None:
        """Count a request by its kind when it is taken, or by the reason when it is refused."""

    def replayed(self, verdicts: int) -> None:
        """So many verdicts were sent again."""


class _Job(msgspec.Struct, eq=False):
    client: Asker
    request: str
    first: Position | None
    last: Position
    left: int
    envelope: list[bytes]
    messages: int = 0
    unsent: list[list[bytes]] = []
    """Messages of what was read, to be sent one at a time."""
    sent_ns: int = 0


class SyncStage:
    """Answers every message on the socket, whatever it is.

    Of each request one message is in flight to its client at a time: the next is read and sent when that one
    was taken. So what readers leave unread is bounded by the number of requests that may wait.
    """

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        last: Callable[[], Position],
        snapshot: Callable[[str, Position | None], Snapshot],
        observer: SyncMetrics,
        *,
        status: Callable[[str, int], LineStatus],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Answer from `journal`.

        Args:
            bus: whose `sync` sockets they are.
            journal: where verdicts are read back.
            last: the last published verdict's name.
            snapshot: makes a snapshot of a request id and the oldest position.
            observer: takes counts, for the metrics.
            status: makes a status of a request id and the time.
            clock: monotonic, in nanoseconds.
        """
        self._bus = bus
        self._journal = journal
        self._last = last
        self._snapshot = snapshot
        self._status = status
        self._observer = observer
        self._clock = clock
        self._waiting: deque[_Job] = deque()
        self._reading: _Job | None = None
        self._in_flight: dict[int, _Job] = {}
        """Messages that clients have not taken yet, by ticket; the oldest first."""
        self._tickets = 0
        self._turns: dict[Asker, int] = {}

    def take(self, client: Asker, request: Request) -> None:
        """Answer a client's request, at once or when it has its turn."""
        self._take(client, *request.unwrapped())

    def delivered(self, delivered: Delivered) -> None:
        """A client has taken the message in flight to it, or will not."""
        job = self._in_flight.pop(delivered.ticket, None)
        if job is None or not delivered.is_sent:
            return
        if job.unsent:
            self._send(job)
        elif job.left > 0:
            self._waiting.append(job)
        self._next()

    def door_lost(self, door: str) -> None:
        """A door is gone with all its clients; those that come back ask again."""
        self._waiting = deque(job for job in self._waiting if job.client.door != door)
        self._in_flight = {t: job for t, job in self._in_flight.items() if job.client.door != door}
        if self._reading is not None and self._reading.client.door == door:
            self._reading.left = -1

    @property
    def _jobs(self) -> list[_Job]:
        reading = [self._reading] if self._reading is not None else []
        return [*self._waiting, *reading, *self._in_flight.values()]

    def _take(self, client: Asker, envelope: list[bytes], parts: list[bytes]) -> None:
        try:
            request = sync.decode_request(parts)
        except ValueError as error:
            self._refuse(client, envelope, None, ErrorReason.MALFORMED, str(error))
            return
        jobs = self._jobs
        waiting = sum(job.client == client for job in jobs)
        # A status does not wait for the journal, nor for those who do.
        ahead = self._in_flight if isinstance(request, StatusRequest) else jobs
        is_full = len(ahead) >= _MAX_WAITING
        if waiting >= _MAX_WAITING_OF_CLIENT or (is_full and not self._make_room(waiting)):
            detail = f"{waiting} requests of this client and {len(jobs)} of all wait"
            self._refuse(client, envelope, request.request, ErrorReason.BUSY, detail)
            return
        if isinstance(request, StatusRequest):
            self._observer.sync_request("status")
            job = _Job(client, request.request, None, self._last(), 0, envelope)
            job.unsent = [[wire.encode(self._status(request.request, self._clock()))]]
            self._send(job)
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

    def _make_room(self, waiting: int) -> bool:
        """Give up an answer for a client that has `waiting` requests already; False if there is none.

        That is one its client has left unread for long; or the newest request of a client that has two more.
        """
        for ticket, job in self._in_flight.items():
            if self._clock() - job.sent_ns > _UNREAD_NS:
                del self._in_flight[ticket]
                return True
        held = Counter(job.client for job in self._jobs)
        for job in reversed(self._waiting):
            if held[job.client] > waiting + 1:
                self._waiting.remove(job)
                detail = "made room for a client with fewer requests"
                self._refuse(job.client, job.envelope, job.request, ErrorReason.BUSY, detail)
                return True
        return False

    def _refuse(
        self, client: Asker, envelope: list[bytes], request: str | None, reason: ErrorReason, detail: str
    ) -> None:
        self._observer.sync_request(reason)
        error = Error(request, reason, detail[:MAX_DETAIL_CHARACTERS])
        self._bus.reply("sync", client, [*envelope, wire.encode(error)])

    def _next(self) -> None:
        """Read the next chunk for the client that was served longest ago."""
        if self._reading is not None or not self._waiting:
            return
        # Each client has its turn, however many requests it has.
        job = self._reading = min(self._waiting, key=lambda job: self._turns.get(job.client, 0))
        self._waiting.remove(job)
        clients = {other.client for other in self._jobs}
        self._turns = {client: turn for client, turn in self._turns.items() if client in clients}
        self._turns[job.client] = max(self._turns.values(), default=0) + 1
        limit = min(job.left, _VERDICTS_PER_CHUNK) or 1
        self._journal.read(job.first, job.last, limit, lambda chunk: self._read(job, chunk))

    def _read(self, job: _Job, chunk: ReplayChunk | None) -> None:
        """A chunk was read: send it; if there is more of the request, it waits at the end of the queue."""
        self._reading = None
        if job.left == 0:
            oldest = chunk.oldest if chunk is not None else None
            job.unsent = [[wire.encode(self._snapshot(job.request, oldest))]]
        elif chunk is not None and job.left > 0:
            self._prepare(job, chunk)
        elif chunk is None:  # an end would mean that there is nothing, for good
            detail = "the journal cannot be read now"
            self._refuse(job.client, job.envelope, job.request, ErrorReason.BUSY, detail)
        if job.unsent:
            self._send(job)
        self._next()

    def _prepare(self, job: _Job, chunk: ReplayChunk) -> None:
        """Make messages of what was read."""
        messages: list[list[bytes]] = []
        if chunk.truncated and job.messages == 0:
            oldest = chunk.oldest or Position(job.last.epoch, job.last.seq + 1)
            messages.append([wire.encode(Truncated(job.request, oldest))])
        found = chunk.verdicts
        for some in _in_messages(found):
            parts = [part for stored in some for part in (stored.topic, stored.header)]
            messages.append([wire.encode(Verdicts(job.request, len(some))), *parts])
        if found:
            self._observer.replayed(len(found))
            through = found[-1].position
            job.first = Position(through.epoch, through.seq + 1)
        is_all = len(found) < min(job.left, _VERDICTS_PER_CHUNK)
        job.left -= len(found)
        job.messages += len(messages)
        if is_all or job.left == 0:
            job.left = 0
            end = End(job.request, job.last if is_all else found[-1].position, is_all, job.messages)
            messages.append([wire.encode(end)])
        job.unsent = messages

    def _send(self, job: _Job) -> None:
        self._tickets += 1
        job.sent_ns = self._clock()
        if self._bus.reply("sync", job.client, [*job.envelope, *job.unsent.pop(0)], self._tickets):
            self._in_flight[self._tickets] = job


def _in_messages(found: list[Stored]) -> Iterator[list[Stored]]:
    """Verdicts as they go into messages, each of which a channel can carry."""
    some: list[Stored] = []
    size = 0
    for stored in found:
        size += len(stored.topic) + len(stored.header)
        if some and size > _MAX_MESSAGE_BYTES:
            yield some
            some, size = [], len(stored.topic) + len(stored.header)
        some.append(stored)
    if some:
        yield some
