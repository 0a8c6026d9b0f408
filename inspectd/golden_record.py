"""Writes the record of golden parts while the line runs; what the disk does not take is tried again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from inspectd.alarms import EmitEvent
from inspectd.errors import InspectdError
from inspectd.golden.results import CheckDue, CheckResult, append_line
from inspectd.recipes.clerk import DiskClerk
from inspectd.wire.golden import GoldenOutcome

_AGAIN_NS: Final = 5_000_000_000

Line = CheckResult | CheckDue


class GoldenRecorder:
    """The writer of a line's `golden.jsonl`.

    A failure, and that a check is due, are written sooner or later, or the next start would judge parts that
    this one holds. A pass that cannot be written at once counts for nothing, and so needs no writing.

    Args:
        file: the record.
        clerk: writes it.
        emit: publishes events.
        clock: monotonic, in nanoseconds.
    """

    def __init__(self, file: Path, clerk: DiskClerk, emit: EmitEvent, clock: Callable[[], int]) -> None:
        self._file = file
        self._clerk = clerk
        self._emit = emit
        self._clock = clock
        self._owed: dict[tuple[type[Line], str], Line] = {}  # by kind and the subject's sha256
        self._again_ns: int | None = None
        self._is_made = file.exists()

    def write(
        self, line: Line, what: str, done: Callable[[], None], failed: Callable[[InspectdError], None]
    ) -> None:
        """Write a line; `done` or `failed` is called from the loop, then or later.

        Args:
            line: to write.
            what: it says, for people.
            done: it is on the disk.
            failed: it is not; an event has said so.
        """
        self._ask(line, partial(self._on_written, line, done), partial(self._on_failed, line, what, failed))

    def turn(self, now_ns: int) -> None:
        """Try again what the disk did not take."""
        if self._again_ns is not None and now_ns >= self._again_ns:
            self._again_ns = None
            for key, line in self._owed.items():
                self._ask(line, partial(self._on_owed_written, key), self._on_owed_failed)

    def _ask(self, line: Line, done: Callable[[None], None], failed: Callable[[InspectdError], None]) -> None:
        self._clerk.ask(partial(append_line, self._file, line, may_make=not self._is_made), done, failed)

    def _on_written(self, line: Line, done: Callable[[], None], _: None) -> None:
        self._is_made = True
        if isinstance(line, CheckResult) and line.outcome is GoldenOutcome.PASSED:
            self._owed = {key: each for key, each in self._owed.items() if key[1] != line.recipe_sha256}
        done()

    def _on_failed(
        self, line: Line, what: str, failed: Callable[[InspectdError], None], error: InspectdError
    ) -> None:
        self._emit("alarm", "golden_not_recorded", detail=f"{what}: {error}")
        if isinstance(line, CheckDue) or line.outcome is GoldenOutcome.FAILED:
            self._owed.setdefault((type(line), line.recipe_sha256), line)
            self._on_owed_failed(error)
        failed(error)

    def _on_owed_written(self, key: tuple[type[Line], str], _: None) -> None:
        self._owed.pop(key, None)

    def _on_owed_failed(self, _: InspectdError) -> None:
        self._again_ns = self._clock() + _AGAIN_NS
