"""A loop around a real journal, for tests: it records verdicts and remembers what was published."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.messages import verdict

from inspectd import wire
from inspectd.config import JournalSettings as Settings
from inspectd.publish.journal.journal import Journal
from inspectd.publish.journal.pending import Entry
from inspectd.publish.journal.records import Levels, ReplayChunk
from inspectd.wire.sync import Position


class Told:
    """Everything a journal says."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.reminders: list[str] = []
        self.recording: list[bool] = []
        self.committed = self.unrecorded = self.forgotten = self.set_aside = 0
        self.levels: Levels | None = None

    def say(self, severity: str, name: str, detail: str) -> None:
        self.events.append((severity, name, detail))

    def remind(self, name: str, detail: str) -> None:
        self.reminders.append(name)

    def names(self) -> list[str]:
        return [name for _, name, _ in self.events]

    def journal_recording(self, *, recording: bool) -> None:
        self.recording.append(recording)

    def journal_committed(self, rows: int, seconds: float) -> None:
        self.committed += rows

    def journal_unrecorded(self) -> None:
        self.unrecorded += 1

    def journal_forgotten(self, rows: int) -> None:
        self.forgotten += rows

    def journal_set_aside(self) -> None:
        self.set_aside += 1

    def journal_levels(self, levels: Levels) -> None:
        self.levels = levels


class Line:
    """A loop around a journal, and what it published."""

    def __init__(self, folder: Path, **settings: float) -> None:
        settings.setdefault("max_wait_ms", 5000)  # a busy machine is no failing disk
        self.told = Told()
        self.published: list[tuple[Any, bytes]] = []
        self.seq = 0
        self.folder = folder
        self.journal = Journal(
            folder,
            Settings(**settings),
            plant="demo",
            line="line1",
            observer=self.told,
            say=self.told.say,
            remind=self.told.remind,
            group_every_ns=20_000_000,
        )
        self.journal.await_open()

    def verdict(self) -> None:
        self.seq += 1
        made = verdict(self.seq, self.journal.epoch)
        entry = Entry(made, b"i1/demo/line1/camera1/v/", wire.encode(made), self._publish)
        self.journal.record(entry)

    def _publish(self, made: Any, topic: bytes, header: bytes) -> None:
        assert wire.decode(header) == made
        self.published.append((made, header))

    def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.told.events, len(self.published), self.seq)
            self.journal.take_results()
            self.journal.turn(time.monotonic_ns())
            time.sleep(0.001)

    def read(self) -> list[bytes]:
        got: list[ReplayChunk | None] = []
        self.journal.read(None, Position(self.journal.epoch, self.seq), 100_000, got.append)
        self.until(lambda: got)
        return [stored.header for stored in got[0].verdicts] if got[0] is not None else []
