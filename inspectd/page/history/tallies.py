"""Counts by time, so that a trend over months adds up thousands of rows and not millions."""

from __future__ import annotations

import sqlite3
from typing import Final

from inspectd.page.history.bins import (
    LATENCY_PER_OCTAVE,
    SHARE_PER_OCTAVE,
    add_packed,
    bin_of,
    packed,
)
from inspectd.page.history.rows import Numbered, decided_ms
from inspectd.wire import Verdict

STEPS_MS: Final = (60_000, 600_000, 3_600_000, 21_600_000)
"""A minute, ten, an hour, six hours; every verdict counts in each."""


class Tally:
    """Counts of one group in one step of time.

    Attributes:
        n: verdicts.
        late: of them, those that came after their deadline.
        shares: scores as a share of their threshold, by bin.
        latencies: latencies in milliseconds, by bin.
        thresholds: lowest and highest threshold; None: none was above zero, or there was none.
    """

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.n = self.late = 0
        self.shares: dict[int, int] = {}
        self.latencies: dict[int, int] = {}
        self.thresholds: tuple[float, float] | None = None

    def add(self, item: Numbered) -> None:
        """Count a verdict."""
        self.n += 1
        self.late += item.late
        _count(self.latencies, bin_of(item.latency_ms, LATENCY_PER_OCTAVE))
        if not isinstance(item, Verdict) or item.score is None or item.threshold is None:
            return
        if item.threshold > 0:  # a share of a threshold that is not above zero says nothing
            _count(self.shares, bin_of(item.score / item.threshold, SHARE_PER_OCTAVE))
            low, high = self.thresholds or (item.threshold, item.threshold)
            self.thresholds = min(low, item.threshold), max(high, item.threshold)

    def merge(self, row: tuple[int, int, float | None, float | None, bytes, bytes]) -> None:
        """Add what `agg` holds of the same group and step: n, late, both thresholds, shares, latencies."""
        n, late, low, high, shares, latencies = row
        self.n += n
        self.late += late
        add_packed(self.shares, shares)
        add_packed(self.latencies, latencies)
        if low is not None and high is not None:
            now = self.thresholds or (low, high)
            self.thresholds = min(now[0], low), max(now[1], high)


class Tallies:
    """Counts of one transaction, which `write` adds to those in the file."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._tallies: dict[tuple[int, int, int], Tally] = {}

    def add(self, item: Numbered, group_id: int) -> None:
        """Count a verdict."""
        at = decided_ms(item)
        for step in STEPS_MS:
            self._tallies.setdefault((step, at - at % step, group_id), Tally()).add(item)

    def write(self, connection: sqlite3.Connection) -> None:
        """Add to the counts in the file; within the caller's transaction."""
        for key, tally in self._tallies.items():
            row = connection.execute(
                "SELECT n, late, threshold_min, threshold_max, share, latency FROM agg "
                "WHERE step_ms = ? AND start_ms = ? AND group_id = ?",
                key,
            ).fetchone()
            if row is not None:
                tally.merge(row)
            connection.execute(
                "INSERT OR REPLACE INTO agg VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *key,
                    tally.n,
                    tally.late,
                    *(tally.thresholds or (None, None)),
                    packed(tally.shares),
                    packed(tally.latencies),
                ),
            )


def _count(counts: dict[int, int], place: int) -> None:
    counts[place] = counts.get(place, 0) + 1
