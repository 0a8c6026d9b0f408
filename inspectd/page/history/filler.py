"""The thread that fills the history from the bus, and the one that samples how far a line has drifted."""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from inspectd.age_clock import AgeClock
from inspectd.client import ClientKeys, Event, GoldenRecord, Item, Liveness, Lost, VerdictReader, ask_status
from inspectd.errors import InputError, InspectdError, UnavailableError
from inspectd.log import event
from inspectd.page.history import schema
from inspectd.page.history.gap_reader import GapReader
from inspectd.page.history.live_notes import DriftSample
from inspectd.page.history.rows import decided_ms
from inspectd.page.history.store import Batch, HistoryStore
from inspectd.page.history.time_order import TimeOrder

_log: Final = logging.getLogger("inspectd.page.history")

_TURN_SECONDS: Final = 0.25
"""So old a verdict may be before it can be asked for."""
_MOST_ITEMS: Final = 500
_REST_SECONDS: Final = 0.02
"""After a full batch: while months are read again, the page's other threads want to work too."""
_HEARD_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 30.0
_DRIFT_SECONDS: Final = 60.0
_PRUNE_SECONDS: Final = 5.0
_PRUNE_ROWS: Final = 1000
_GIVE_BACK_PAGES: Final = 256
_MAX_WAITING: Final = 10_000
_DAY_MS: Final = 86_400_000
_LEAP_SHARE: Final = 0.25
"""Of the days that are kept: a clock that leaps further ahead is not believed for a day."""


def _free_bytes(folder: Path) -> int:
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


class HistorySource(msgspec.Struct, frozen=True):
    """The line whose history it is.

    Attributes:
        verdicts: its socket for verdicts, `ipc://...` or `tcp://...`.
        sync: its socket for replays.
        line: its plant and name: nothing of another line behind these sockets is taken.
        keys: for TCP with keys.
        patience_seconds: a verdict that is not replayed within it is a gap until the line gives it.
    """

    verdicts: str
    sync: str
    line: tuple[str, str]
    keys: ClientKeys | None = None
    patience_seconds: float = 10.0


class HistoryLimits(msgspec.Struct, frozen=True):
    """How much history is kept.

    Attributes:
        days: older verdicts are removed.
        max_bytes: with more the oldest are removed.
        min_free_bytes: with less free room on its disk nothing is added.
    """

    days: float = 400.0
    max_bytes: int = 20_000_000_000
    min_free_bytes: int = 500_000_000


class FillerState(msgspec.Struct):
    """How the filling goes; written by its thread, read by whoever wants to know.

    Attributes:
        problem: why nothing is added now, as a word: `disk`, `line`, `internal`; empty: nothing is wrong.
        detail: the same in a sentence.
        written: verdicts added since the start.
        gaps: gaps reported by the reader since the start.
        filled: verdicts of gaps that the line gave later.
        repeated: verdicts that were there already.
        too_old: verdicts that a clock which was behind had dated, older than is kept, so that they soon go.
        unreadable: messages that are not in this format.
        dropped: events and samples that had to be dropped while nothing could be added.
        set_aside: files set aside since the start, as damaged or of another version.
        failures: times that nothing could be written or read, and it was tried again.
        connections: times that the line was connected to.
        used_bytes: what the rows take.
        last_ms: when the last added verdict was decided.
    """

    problem: str = ""
    detail: str = ""
    written: int = 0
    gaps: int = 0
    filled: int = 0
    repeated: int = 0
    too_old: int = 0
    unreadable: int = 0
    dropped: int = 0
    set_aside: int = 0
    failures: int = 0
    connections: int = 0
    used_bytes: int = 0
    last_ms: int | None = None


class HistoryFiller:
    """Reads a line and writes its history, in a thread of its own, until it is closed.

    Whatever the disk does is said in `state` and tried again; nothing else waits for it.

    Args:
        path: the file.
        source: the line.
        limits: how much is kept.
        clock: milliseconds since 1970.
        free_bytes: free room on the disk of a folder.
        retry_seconds: wait before another try.
        silent_seconds: a line that was silent for so long is connected to anew: ZeroMQ gives up for good
            where a key was refused, and it may have been allowed since.
    """

    def __init__(
        self,
        path: Path,
        source: HistorySource,
        limits: HistoryLimits,
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        free_bytes: Callable[[Path], int] = _free_bytes,
        retry_seconds: float = _RETRY_SECONDS,
        silent_seconds: float = _SILENT_SECONDS,
    ) -> None:
        self.state = FillerState()
        self.damage_seen = threading.Event()
        """Set by whoever reads the file and finds it damaged."""
        self._path, self._source, self._limits = path, source, limits
        self._clock, self._free_bytes = clock, free_bytes
        self._retry_seconds, self._silent_seconds = retry_seconds, silent_seconds
        self._age_clock = AgeClock(int(limits.days * 86_400e9 * _LEAP_SHARE))
        self._said_too_old = 0
        self._said_counts_removed = False
        self._stop = threading.Event()
        self._heard: queue.Queue[Event | GoldenRecord | DriftSample] = queue.Queue(_MAX_WAITING)
        self._noted: list[Event | GoldenRecord | DriftSample] = []
        """What was heard and is not written yet: the line never says it again."""
        self._threads = [
            threading.Thread(target=self._fill_for_ever, name="history", daemon=True),
            threading.Thread(target=self._sample_for_ever, name="drift", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End, after the batch under way."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=10.0)

    # --- the thread that fills ----------------------------------------------------------------------------

    def _fill_for_ever(self) -> None:
        while not self._stop.is_set():
            try:
                self._fill()
            except schema.HistoryDamagedError as error:
                self._begin_anew(str(error))
            except (sqlite3.Error, OSError) as error:
                self._failed("disk", f"{self._path}: {getattr(error, 'strerror', None) or error}")
            except InspectdError as error:
                self._failed(
                    "line", f"{error} (history of {self._path}; delete it to begin with another line)"
                )
            except Exception as error:  # noqa: BLE001 - a thread that ended would look like a quiet line
                _log.exception("history_failed")
                self.state.dropped += len(self._noted)  # one of them may be what cannot be written
                self._noted.clear()
                self._failed("internal", f"{type(error).__name__}: {error}")

    def _begin_anew(self, why: str) -> None:
        try:
            schema.set_aside(self._path, why)
        except OSError as error:
            self._failed("disk", f"{self._path}: {why}; and it cannot be set aside: {error.strerror}")
            return
        self.state.set_aside += 1
        self.damage_seen.clear()

    def _failed(self, problem: str, detail: str) -> None:
        self.state.failures += 1
        self._say(problem, detail)
        self._stop.wait(self._retry_seconds)

    def _say(self, problem: str, detail: str) -> None:
        if (problem, detail) != (self.state.problem, self.state.detail):
            level, name = (logging.ERROR, "history_stopped") if problem else (logging.INFO, "history_resumed")
            event(_log, level, name, problem=problem or None, detail=detail or None)
        self.state.problem, self.state.detail = problem, detail

    def _fill(self) -> None:
        self._check_room()
        store = HistoryStore(self._path)
        source = self._source
        gap_reader = GapReader(source.verdicts, source.sync, source.keys)
        try:
            with VerdictReader(
                source.verdicts, source.sync, line=source.line, cursor=store.cursor, start="oldest",
                keys=source.keys, patience_seconds=source.patience_seconds,
                on_event=self._put, on_golden=self._put,
            ) as reader:  # fmt: skip
                self.state.connections += 1
                self._copy(reader, gap_reader, store)
        finally:
            gap_reader.close()
            store.close()

    def _copy(self, reader: VerdictReader, gap_reader: GapReader, store: HistoryStore) -> None:
        heard_at, prune_at, unreadable = -_HEARD_SECONDS, 0.0, self.state.unreadable
        alive_at = time.monotonic()
        order = TimeOrder(self._kept_ms, store.newest_ms(self._now_ms(store)))
        while not self._stop.is_set():
            items = self._receive(reader)
            now = time.monotonic()
            is_alive = reader.liveness is Liveness.ALIVE
            alive_at = now if is_alive or items else alive_at
            if now > alive_at + self._silent_seconds:
                return
            room = _MAX_WAITING - len(self._noted)
            self._noted += [self._heard.get_nowait() for _ in range(min(room, self._heard.qsize()))]
            if items or self._noted or now >= heard_at + _HEARD_SECONDS:
                self._check_room()
                added = store.write(
                    Batch(
                        items,
                        reader.cursor,
                        [each for each in self._noted if isinstance(each, Event)],
                        [each for each in self._noted if isinstance(each, GoldenRecord)],
                        [each for each in self._noted if isinstance(each, DriftSample)],
                        self._clock() if is_alive else None,
                    )
                )
                heard_at = now
                self._noted.clear()
                self._count(items, added, store)
                self._count_too_old(items, added, order, self._now_ms(store))
                self.state.unreadable = unreadable + reader.unreadable
            self._fill_gap(gap_reader, store)
            self._say("", "")
            if not store.is_there:
                event(_log, logging.WARNING, "history_deleted", path=str(self._path))
                return
            if now >= prune_at and not self._prune(store):
                prune_at = now + _PRUNE_SECONDS
            if self.damage_seen.is_set():
                raise schema.HistoryDamagedError("a question found it damaged")
            if len(items) >= _MOST_ITEMS:
                self._stop.wait(_REST_SECONDS)

    def _receive(self, reader: VerdictReader) -> list[Item]:
        """What comes within a turn; a full batch sooner."""
        items: list[Item] = []
        until = time.monotonic() + _TURN_SECONDS
        while len(items) < _MOST_ITEMS and (left := until - time.monotonic()) > 0:
            item = reader.receive(left)
            if item is None:
                break
            items.append(item)
        return items

    def _count(self, items: list[Item], added: int, store: HistoryStore) -> None:
        gaps = sum(isinstance(item, Lost) for item in items)
        self.state.gaps += gaps
        self.state.written += added
        self.state.repeated += len(items) - gaps - added
        self.state.last_ms = store.last_ms

    def _fill_gap(self, gap_reader: GapReader, store: HistoryStore) -> None:
        """Write what has come of a gap."""
        filled = gap_reader.fill(store, _MOST_ITEMS, self._kept_ms)
        if filled is not None:
            self.state.filled += filled.added
            self._count_too_old(filled.items, filled.added, filled.order, self._now_ms(store))

    @property
    def _kept_ms(self) -> float:
        return self._limits.days * _DAY_MS

    def _now_ms(self, store: HistoryStore) -> int:
        return store.believed[0] // 1_000_000 if store.believed else self._clock()

    def _count_too_old(self, items: Sequence[Item], added: int, order: TimeOrder, now_ms: int) -> None:
        """Tell what goes soon because of its time alone: it is removed by that, as all else is."""
        came = order.dated_back((decided_ms(item), now_ms) for item in items if not isinstance(item, Lost))
        self.state.too_old += min(added, came)
        if self.state.too_old and self.state.too_old >= 2 * self._said_too_old:
            self._said_too_old = self.state.too_old  # a clock that is behind is so for long
            event(
                _log, logging.WARNING, "verdicts_too_old", path=str(self._path), n=self.state.too_old,
                detail="dated before those that came before them, and older than the days that are kept, so "
                "they are removed: the clock of the line was behind when they were decided",
            )  # fmt: skip

    def _prune(self, store: HistoryStore) -> bool:
        """Remove a little of what is too old or too much; True if there may be more."""
        # Neither the page's clock nor the line's may remove everything by being ahead.
        now = min(self._believed_ms(store, store.last_ms), store.last_ms) if store.last_ms else 0
        before = int(now - self._kept_ms)
        removed = store.prune(before, self._limits.max_bytes, _PRUNE_ROWS)
        store.give_back(_GIVE_BACK_PAGES)
        self.state.used_bytes = used = store.used_bytes
        if store.counts_removed and not self._said_counts_removed:
            self._said_counts_removed = True
            event(
                _log, logging.WARNING, "history_counts_removed", path=str(self._path),
                detail="counts of trends, and what was heard live, take more than half of the "
                f"{self._limits.max_bytes / 1e6:g} MB that the history may take (store.max_mb): the oldest "
                f"of them are removed, though younger than {self._limits.days:g} days",
            )  # fmt: skip
        return removed >= _PRUNE_ROWS or (removed > 0 and used > self._limits.max_bytes)

    def _believed_ms(self, store: HistoryStore, newest_ms: int) -> int:
        """The time that verdicts grow old by; the file keeps it while the clock does not show it."""
        monotonic_ns = time.monotonic_ns()
        began_ns, held_ns = store.believed or (newest_ms * 1_000_000, 0)
        self._age_clock.begin(min(began_ns, newest_ms * 1_000_000), monotonic_ns, held_ns)
        now_ns = self._age_clock.now_ns(self._clock() * 1_000_000, monotonic_ns)
        is_ahead = self._age_clock.ahead_ns > 0
        store.believe((now_ns, self._age_clock.held_ns(monotonic_ns)) if is_ahead else None)
        return now_ns // 1_000_000

    def _check_room(self) -> None:
        """Refuse to fill up the disk, which may be the journal's too.

        Raises:
            OSError: too little is free.
        """
        free = self._free_bytes(self._path.parent)
        if free < self._limits.min_free_bytes:
            raise OSError(
                0,
                f"{free / 1e6:.0f} MB are free on its disk, expected {self._limits.min_free_bytes / 1e6:g}: "
                "make room; nothing is lost as long as the line's journal keeps it",
            )

    # --- other threads ------------------------------------------------------------------------------------

    def _put(self, noted: Event | GoldenRecord | DriftSample) -> None:
        try:
            self._heard.put_nowait(noted)
        except queue.Full:
            self.state.dropped += 1

    def _sample_for_ever(self) -> None:
        while not self._stop.wait(_DRIFT_SECONDS):
            try:
                self._sample()
            except UnavailableError:
                continue  # a line that is away has no drift; the heartbeats say that it is away
            except InspectdError as error:
                self.state.failures += 1
                event(_log, logging.WARNING, "drift_not_asked", detail=str(error))
            except Exception:  # noqa: BLE001 - a thread that ended would look like a line without drift
                self.state.failures += 1
                _log.exception("drift_failed")

    def _sample(self) -> None:
        """Put how far every place has drifted.

        Raises:
            UnavailableError: the line does not answer.
            InputError: the socket or a key cannot be used, or it is another line's.
        """
        source = self._source
        status = ask_status(source.sync, source.keys)
        if (status.plant, status.line) != source.line:
            raise InputError(
                f"{source.sync} answers for line {status.plant}/{status.line}, expected "
                f"{'/'.join(source.line)}: correct line.sync, or line.plant and line.name"
            )
        for camera in status.cameras:
            if camera.drift:
                self._put(DriftSample(self._clock(), camera.camera, camera.region or "", dict(camera.drift)))
