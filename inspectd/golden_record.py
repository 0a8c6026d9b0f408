"""Writes the record of golden parts while the line runs; what the disk does not take is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

from inspectd.alarms import EmitEvent
from inspectd.errors import InspectdError
from inspectd.files import OwnFile
from inspectd.golden.results import CheckDue, CheckResult, CheckVoid, append_line
from inspectd.recipes.clerk import DiskClerk, nothing
from inspectd.wire.golden import GoldenOutcome

_AGAIN_NS: Final = 5_000_000_000

Line = CheckResult | CheckDue | CheckVoid
_KNOWN: Final = {CheckResult: "failed", CheckDue: "is due", CheckVoid: "passed for nothing"}
"""What a line tells the next start of a check."""


class GoldenRecorder:
    """The writer of a line's `golden.jsonl`.

    A failure, that a check is due and that a pass is void are written sooner or later, or the next start
    would judge parts that this one holds. A pass that cannot be written at once counts for nothing, and so
    needs no writing.

    The lines of a recipe stand in the order of what was decided. While a pass of it is on its way to the
    disk, what else there is to write of it waits: once the pass counts, it has overruled that.

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
        self._under_way: list[Line] = []
        """What the disk has not answered yet."""
        self._is_closing = False
        self._again_ns: int | None = None
        self._own = OwnFile(file)
        self._passing: CheckResult | None = None
        """A pass that is on its way to the disk: no check begins before it is there."""
        self._voided: CheckResult | None = None
        """A pass that was on its way as the line ended: that it is void is owed, or written, already."""
        self.void_by = ""
        """Why the last pass counts for nothing although it is, or will be, on the disk; empty: it counts."""

    @property
    def is_writing(self) -> bool:
        """Whether the disk has not answered yet."""
        return bool(self._under_way)

    def write(
        self, line: Line, what: str, done: Callable[[], None], failed: Callable[[InspectdError], None]
    ) -> None:
        """Write a line; `done` or `failed` is called from the loop, then or later.

        Neither is called where it waits for a pass of the same recipe.

        Args:
            line: to write.
            what: it says, for people.
            done: it is on the disk.
            failed: it is not; an event has said so.
        """
        if self._is_waiting(line):
            self._owed.setdefault((type(line), line.recipe_sha256), line)
            return
        if isinstance(line, CheckResult) and line.outcome is GoldenOutcome.PASSED:
            self._passing, self.void_by = line, ""
        self._ask(line, partial(self._on_written, line, done), partial(self._on_failed, line, what, failed))

    def outdate(self, why: str) -> None:
        """What was checked is no longer as it was: a pass that is on its way to the disk proves nothing."""
        if self._passing is not None:
            self.void_by = self.void_by or why

    def turn(self, now_ns: int) -> None:
        """Try again what the disk did not take."""
        if self._again_ns is not None and now_ns >= self._again_ns:
            self._again_ns = None
            self._ask_owed([key for key, line in self._owed.items() if not self._is_waiting(line)])

    def close(self) -> None:
        """The line ends, and its clerk next: try once more what the disk did not take.

        A pass that is on its way even now was told to nobody, and counts for nothing, whether or not the disk
        answers in time to tell of it: that and what waits for it are written behind it.
        """
        self._is_closing = True
        if self._passing is not None:
            self.outdate("the line ended before it was on the disk")
            self._owed.setdefault((CheckVoid, self._passing.recipe_sha256), self._void(self._passing))
            self._voided = self._passing
        self._ask_owed(list(self._owed))

    def _is_waiting(self, line: Line) -> bool:
        return self._passing is not None and line.recipe_sha256 == self._passing.recipe_sha256

    def _ask_owed(self, keys: Iterable[tuple[type[Line], str]]) -> None:
        for key in keys:
            line = self._owed[key]
            if line not in self._under_way:
                self._ask(
                    line, partial(self._on_owed_written, key, line), partial(self._on_owed_failed, line)
                )

    def _ask(self, line: Line, done: Callable[[None], None], failed: Callable[[InspectdError], None]) -> None:
        self._under_way.append(line)
        self._clerk.ask(
            partial(self._append, line),
            partial(self._answer, line, done),
            partial(self._answer, line, failed),
        )

    def _answer(self, line: Line, then: Callable[[Any], None], answer: object) -> None:
        self._under_way.remove(line)
        then(answer)

    def _append(self, line: Line) -> None:
        """In the clerk's thread: write into no other file than the one that the line read at its start."""
        with self._own.writing():
            append_line(self._file, line)

    def _on_written(self, line: Line, done: Callable[[], None], _: None) -> None:
        if self._passing is not None and line is self._passing:
            self._end_pass(self._passing)
        done()

    def _end_pass(self, line: CheckResult) -> None:
        """A pass is on the disk: it overrules what is owed of its recipe, or else is overruled itself."""
        self._passing = None
        waiting = [key for key in self._owed if key[1] == line.recipe_sha256]
        if self.void_by:
            if line is not self._voided:
                what = f"check {line.check}: its pass counts for nothing"
                self.write(self._void(line), what, nothing, nothing)
            self._ask_owed(waiting)
        else:
            for key in waiting:
                del self._owed[key]

    def _void(self, line: CheckResult) -> CheckVoid:
        return CheckVoid(
            time.time_ns(), line.check, line.recipe, line.recipe_version, line.recipe_sha256, self.void_by,
            line.utc_ns,
        )  # fmt: skip

    def _on_failed(
        self, line: Line, what: str, failed: Callable[[InspectdError], None], error: InspectdError
    ) -> None:
        self._emit("alarm", "golden_not_recorded", detail=f"{what}: {error}")
        if line is self._passing:
            self._passing = None
            if self._owed:  # what waited is tried with what the disk did not take before
                self._again_ns = self._clock() + _AGAIN_NS
        if not isinstance(line, CheckResult) or line.outcome is GoldenOutcome.FAILED:
            self._owed.setdefault((type(line), line.recipe_sha256), line)
            self._again_ns = self._clock() + _AGAIN_NS
        failed(error)

    def _on_owed_written(self, key: tuple[type[Line], str], line: Line, _: None) -> None:
        if self._owed.get(key) is line:
            del self._owed[key]

    def _on_owed_failed(self, line: Line, error: InspectdError) -> None:
        self._again_ns = self._clock() + _AGAIN_NS
        if self._is_closing:
            what = f"recipe {line.recipe}: the next start may not know that a check {_KNOWN[type(line)]}"
            self._emit("alarm", "golden_not_recorded", detail=f"{what}, as the line ends: {error}")
