"""What is only heard live and never replayed: events, golden checks, drift; and when somebody listened."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from inspectd import wire
from inspectd.client import Event, GoldenRecord

_DRIFT_STEP_MS: Final = 300_000


class DriftSample(msgspec.Struct, frozen=True):
    """How far a place's frames had drifted on their way to a limit, by cause."""

    ms: int
    camera: str
    region: str
    shares: dict[str, float]


class LiveNotes:
    """Writes them, within the transactions of who has the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Nobody listens yet."""
        self._connection = connection
        self._heard_id: int | None = None

    def add_event(self, event: Event) -> None:
        """The line said something of itself."""
        self._connection.execute(
            "INSERT INTO event (ms, epoch, severity, name, camera, process, detail) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                event.utc_ns // 1_000_000, event.epoch, event.severity, event.event,
                event.camera, event.process, event.detail,
            ),
        )  # fmt: skip

    def add_golden(self, record: GoldenRecord) -> None:
        """A golden part was shown, or a check ended."""
        self._connection.execute(
            "INSERT INTO golden (ms, name, recipe, version, who, state, outcome, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.utc_ns // 1_000_000, record.check, record.recipe, record.recipe_version,
                record.who, record.state, record.outcome, wire.encode(record),
            ),
        )  # fmt: skip

    def add_drift(self, sample: DriftSample) -> None:
        """How far a place had drifted; of five minutes the largest share is kept."""
        start = sample.ms - sample.ms % _DRIFT_STEP_MS
        for cause, share in sample.shares.items():
            self._connection.execute(
                "INSERT INTO drift VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET share = max(share, excluded.share)",
                (start, sample.camera, sample.region, cause, share),
            )

    def hear(self, now_ms: int | None) -> None:
        """Note from when to when somebody listened; None: nobody does now."""
        if now_ms is None:
            self._heard_id = None
            return
        heard = self._connection.execute(
            "UPDATE heard SET to_ms = ? WHERE id = ?", (now_ms, self._heard_id)
        )  # fmt: skip
        if heard.rowcount == 0:  # nobody listened before, or what was noted of it was removed as too old
            heard = self._connection.execute(
                "INSERT INTO heard (from_ms, to_ms) VALUES (?, ?)", (now_ms, now_ms)
            )
            self._heard_id = heard.lastrowid
