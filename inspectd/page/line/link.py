"""The threads that read the line's bus for the page, and hand what they read to its event loop."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final

from inspectd import log
from inspectd.client import (
    Cursor,
    Event,
    Heartbeat,
    LiveReader,
    Message,
    PartVerdict,
    Preview,
    PreviewReader,
    UnavailableError,
    Verdict,
    VerdictReader,
    ask_status,
)
from inspectd.errors import InputError
from inspectd.page.line.answered import Answered
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.state import STALE_SECONDS
from inspectd.page.settings import PageLine

_TURN_SECONDS: Final = 0.2
_LOOK_SECONDS: Final = 0.1
_STATUS_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 5.0
"""After so long without a message every reader begins anew, by the key files as they are then: a key that was
replaced needs no restart."""
_BATCH: Final = 200
_SETTLE_SECONDS: Final = 0.5
"""What is queued comes within it, one after the other."""

_log: Final = logging.getLogger(__name__)

Live = Verdict | PartVerdict | Heartbeat | Event


class LineThreads:
    """Reads the bus in threads of its own, so that nothing the bus does holds up a browser.

    Args:
        line: where it is.
        counts: of the verdicts, from the oldest that the line keeps on; filled by one of the threads.
        on_messages: gets what is published, in the order it came, in a thread; and whether it came while this
            program did not run, as when its host was too busy: then it says nothing of the line as it is now.
        on_status: gets the line's answer on how it is, in a thread.
        on_preview: gets each picture, in a thread.
        wanted: cameras whose pictures somebody looks at; the line makes no others.
    """

    def __init__(
        self,
        line: PageLine,
        counts: PartCounts,
        *,
        on_messages: Callable[[list[Live], bool], None],
        on_status: Callable[[Answered], None],
        on_preview: Callable[[Preview], None],
        wanted: Callable[[], frozenset[str]],
    ) -> None:
        self._line, self._counts = line, counts
        self._on_messages, self._on_status = on_messages, on_status
        self._on_preview, self._wanted = on_preview, wanted
        self._stopping = threading.Event()
        self._opening = 0  # counts up whenever all readers have to connect anew
        self._counted: Cursor | None = None
        self._has_said_other = False
        self.problems = 0
        """Times that a thread could not go on, and began again."""
        self._threads = [
            threading.Thread(target=self._keep, args=(work,), name=f"line-{name}", daemon=True)
            for name, work in (
                ("live", self._live), ("counts", self._count), ("status", self._ask),
                ("pictures", self._look),
            )
        ]  # fmt: skip

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop reading, and wait for it."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _keep(self, work: Callable[[], None]) -> None:
        """Have a thread's work begin again when it cannot go on: a key that is put right needs no restart."""
        while not self._stopping.is_set():
            try:
                work()
                continue
            except (InputError, UnavailableError) as error:
                log.event(_log, logging.WARNING, "line_unreadable", detail=str(error))
            except Exception:  # noqa: BLE001 - a thread that ended would look like a quiet line
                _log.exception("line_reader_failed")
            self.problems += 1
            self._stopping.wait(_RETRY_SECONDS)

    def _live(self) -> None:
        line, heard_at, old_until = self._line, time.monotonic(), 0.0
        with LiveReader(line.endpoint("verdicts"), keys=line.keys) as reader:
            while not self._stopping.is_set():
                if time.monotonic() - heard_at > _SILENT_SECONDS:
                    self._opening += 1
                    return
                turn_at = time.monotonic()
                batch: list[Live] = []
                message: Message | None = reader.receive(_TURN_SECONDS)
                while message is not None:
                    if not self._is_own(message.plant, message.line):
                        heard_at = time.monotonic()
                    elif isinstance(message, Live):
                        batch.append(message)
                    message = reader.receive(0) if len(batch) < _BATCH else None
                now, has_more = time.monotonic(), message is not None
                # After a pause of this program, all that is queued is from before its end.
                if now - turn_at > STALE_SECONDS or (now < old_until and has_more):
                    old_until = now + _SETTLE_SECONDS
                if batch:
                    heard_at = now
                    self._on_messages(batch, now < old_until)

    def _is_own(self, plant: str, line: str) -> bool:
        """Whether a message is of the settings' line; another line is not shown, as the log says once."""
        is_own = (plant, line) == (self._line.plant, self._line.name)
        if not is_own and not self._has_said_other:
            self._has_said_other = True
            log.event(
                _log, logging.ERROR, "other_line", heard=f"{plant}/{line}",
                expected=f"{self._line.plant}/{self._line.name}", remedy="line.plant, line.name",
            )  # fmt: skip
        return is_own

    def _count(self) -> None:
        line, opening = self._line, self._opening
        # One that connects anew goes on where the last one was: what was counted is not read again.
        with VerdictReader(
            line.endpoint("verdicts"), line.endpoint("sync"), cursor=self._counted, start="oldest",
            keys=line.keys,
        ) as reader:  # fmt: skip
            caught_up_at = -math.inf
            while not self._stopping.is_set() and opening == self._opening:
                item, cursor = reader.receive(_TURN_SECONDS), reader.cursor
                now = time.monotonic()
                if reader.is_caught_up:
                    caught_up_at = now
                if reader.heartbeat is not None:  # until the line says something it is as it was
                    self._counts.is_behind = now - caught_up_at > STALE_SECONDS
                if item is not None and cursor is not None and self._is_own(cursor.plant, cursor.line):
                    self._counted = cursor
                    self._counts.take(item, time.time_ns() // 1_000_000)

    def _look(self) -> None:
        line, opening = self._line, self._opening
        with PreviewReader(line.endpoint("previews"), line.plant, line.name, keys=line.keys) as reader:
            shown: frozenset[str] = frozenset()
            while not self._stopping.is_set() and opening == self._opening:
                wanted = self._wanted()
                if wanted != shown:
                    reader.show(wanted)
                    shown = wanted
                preview = reader.receive(_LOOK_SECONDS)
                if preview is not None:
                    self._on_preview(preview)

    def _ask(self) -> None:
        while not self._stopping.is_set():
            try:
                asked_at = time.monotonic()
                status = ask_status(self._line.endpoint("sync"), self._line.keys, _STATUS_SECONDS)
                if self._is_own(status.plant, status.line):
                    self._on_status(Answered(status, asked_at, time.monotonic()))
            except UnavailableError as error:  # the heartbeats say it to people
                _log.debug("%s", error)
            self._stopping.wait(_STATUS_SECONDS)
