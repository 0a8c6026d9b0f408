"""Heatmaps and thumbnails: sent once, as far as it goes, on a connection of their own.

They are large, and nothing depends on them. What finds no room is dropped, the oldest first; what is not
acknowledged is not sent again. So neither a slow link nor a server that is away holds up a verdict.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from inspectd import log, wire
from inspectd.client import Heatmap, LiveReader, Preview
from inspectd.config.program_files import endpoint
from inspectd.fleet.forward.metrics import Extra, ForwardMetrics
from inspectd.fleet.names import ABOUT_HEADER, ID_HEADER
from inspectd.fleet.servers import Servers, ServersDoor, ServersError
from inspectd.fleet.settings import ForwardConfig

_TURN_SECONDS: Final = 0.2
_QUEUE_MESSAGES: Final = 64
_AT_ONCE: Final = 16
_ACKNOWLEDGE_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 2.0
_ROOM_FOR_HEADERS: Final = 2048

_log: Final = logging.getLogger(__name__)


class WaitingExtra(msgspec.Struct, frozen=True):
    """A message that waits to be sent.

    Attributes:
        kind: `h` or `pv`.
        subject: where to.
        message_id: by which servers know it again.
        about: its JSON header, as on the bus.
        body: a heatmap's values, or a preview's JPEG and then its heat.
    """

    kind: str
    subject: str
    message_id: str
    about: str
    body: bytes


class ExtrasQueue:
    """Holds what waits, within a bound; a thread fills it, and the event loop takes from it."""

    def __init__(self, max_bytes: int, metrics: ForwardMetrics) -> None:
        self._max_bytes, self._metrics = max_bytes, metrics
        self._waiting: deque[WaitingExtra] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, extra: WaitingExtra) -> None:
        """Add one; the oldest make room for it."""
        with self._lock:
            self._waiting.append(extra)
            self._bytes += len(extra.body)
            while self._bytes > self._max_bytes:
                oldest = self._waiting.popleft()
                self._bytes -= len(oldest.body)
                self._metrics.extra_ended(oldest.kind, Extra.DROPPED)

    def take(self) -> WaitingExtra | None:
        """The oldest; None: nothing waits."""
        with self._lock:
            if not self._waiting:
                return None
            extra = self._waiting.popleft()
            self._bytes -= len(extra.body)
            return extra


class Allowance:
    """So many a second, and after a rest as many at once.

    Args:
        per_second: how many.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._most = max(1.0, per_second)
        self._left, self._at = self._most, clock()

    def take(self) -> bool:
        """Whether one more is within it."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        is_allowed = self._left >= 1
        self._left -= is_allowed
        return is_allowed


class ExtrasReader:
    """Reads heatmaps and previews of the bus in a thread.

    Args:
        settings: the forwarder's.
        queue: where they go.
        metrics: where those beyond the bound are counted.

    Raises:
        InputError: an endpoint or a key file cannot be used.
    """

    def __init__(self, settings: ForwardConfig, queue: ExtrasQueue, metrics: ForwardMetrics) -> None:
        line, wanted = settings.line, settings.forward
        chosen = (("heatmaps", wanted.heatmaps), ("previews", wanted.thumbnails))
        self._names, self._queue = line.names, queue
        self._allowance, self._metrics = Allowance(wanted.extras_per_second), metrics
        self._ending = threading.Event()
        self._reader = LiveReader(
            *(endpoint(line, name) for name, is_wanted in chosen if is_wanted),
            topics=(f"i1/{self._names.plant}/{self._names.line}/".encode(),),
            queue_messages=_QUEUE_MESSAGES,
            keys=line.keys,
        )
        self._thread = threading.Thread(target=self._read, name="extras", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._thread.join()

    def _read(self) -> None:
        with self._reader as reader:
            while not self._ending.is_set():
                message = reader.receive(_TURN_SECONDS)
                if not isinstance(message, Heatmap | Preview):
                    continue
                kind = "h" if isinstance(message, Heatmap) else "pv"
                if self._allowance.take():
                    self._queue.put(self._waiting(kind, message))
                else:
                    self._metrics.extra_ended(kind, Extra.DROPPED)

    def _waiting(self, kind: str, message: Heatmap | Preview) -> WaitingExtra:
        header = message.header
        body = message.values if isinstance(message, Heatmap) else message.jpeg + message.heat
        return WaitingExtra(
            kind,
            self._names.extra_subject(kind, header.camera),
            f"{kind}:{header.epoch}:{header.seq}",
            wire.encode(header).decode(),
            body,
        )


async def send_extras(door: ServersDoor, stream: str, queue: ExtrasQueue, metrics: ForwardMetrics) -> None:
    """Send what waits, one connection after another, without end.

    Args:
        door: by which servers are connected to.
        stream: whose acknowledgement counts.
        queue: what waits.
        metrics: where what becomes of each is counted.
    """
    said = ""
    while True:
        try:
            async with door.connect() as servers:
                await _send(servers, stream, queue, metrics)
        except ServersError as error:  # what it could not send is dropped and counted by the queue
            if str(error) != said:
                log.event(_log, logging.WARNING, "extras_held_up", stream=stream, detail=str(error))
            said = str(error)
        await asyncio.sleep(_AGAIN_SECONDS)


async def _send(servers: Servers, stream: str, queue: ExtrasQueue, metrics: ForwardMetrics) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(extra: WaitingExtra) -> None:
        headers = {ID_HEADER: extra.message_id, ABOUT_HEADER: extra.about}
        try:
            await servers.asked(
                servers.js.publish(
                    extra.subject, extra.body, timeout=_ACKNOWLEDGE_SECONDS, stream=stream, headers=headers
                )
            )
        except ServersError:
            metrics.extra_ended(extra.kind, Extra.FAILED)
        else:
            metrics.extra_ended(extra.kind, Extra.STORED)
        finally:
            room.release()

    async with asyncio.TaskGroup() as tasks:
        while not servers.lost.done():
            extra = queue.take()
            if extra is None:
                await asyncio.sleep(_TURN_SECONDS / 10)
            elif len(extra.body) + len(extra.about) + _ROOM_FOR_HEADERS > servers.max_payload_bytes:
                metrics.extra_ended(extra.kind, Extra.DROPPED)
            else:
                await room.acquire()
                tasks.create_task(one(extra))
