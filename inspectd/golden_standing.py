"""How checks with golden parts stand of each recipe in force: what one would prove, what is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from inspectd.config import GoldenPart
from inspectd.golden.check import GoldenCheck
from inspectd.golden.results import CheckResult
from inspectd.golden.schedule import GoldenSchedule, GoldenSubject
from inspectd.recipes.book import RecipeBook, title_of
from inspectd.wire.golden import GoldenDue, GoldenState
from inspectd.wire.sync import GoldenStatus

_MOST_PROBLEMS: Final = 3
"""Of a failed check, in a condition: heartbeats are not to grow with the number of cameras."""

Failures = Mapping[str, Sequence[str]]
"""Why the last check failed of each subject that failed, by its sha256."""


class GoldenStanding:
    """The recipes of a line beside their checks.

    Args:
        parts: the line's golden parts.
        book: what is in force.
        sha256_of: identifies what a key of the configuration file's recipes judges by; None: not known yet.
        schedule: when checks are due.
        clock: monotonic, in nanoseconds.
    """

    def __init__(
        self,
        parts: Iterable[GoldenPart],
        book: RecipeBook,
        sha256_of: Callable[[str], str | None],
        schedule: GoldenSchedule,
        clock: Callable[[], int],
    ) -> None:
        self._with_parts = {part.recipe for part in parts}
        self._book = book
        self._sha256_of = sha256_of
        self._schedule = schedule
        self._clock = clock

    def subject(self, key: str) -> GoldenSubject:
        """What a key's judgements prove something of; without a sha256 while that is not known."""
        name, version = title_of(key)
        sha256 = self._sha256_of(key) if version is None else self._book.sha256_of(key)
        return GoldenSubject(name, sha256 or "", version, name in self._book.in_force.titles)

    def subjects(self) -> list[GoldenSubject]:
        """What is in force and has golden parts."""
        found = {}
        for key in self._book.in_force.keys:
            subject = self.subject(key)
            if subject.sha256 and subject.recipe in self._with_parts:
                found[subject.recipe] = subject
        return list(found.values())

    def none(self) -> str:
        """Says that nothing in force has golden parts, though others have; empty: something has."""
        names = self._book.in_force.titles
        if names & self._with_parts:
            return ""
        named = ", ".join(sorted(names))
        return f"recipe {named} has none in golden.parts: its parts are judged without checks"

    def conditions(self, failures: Failures) -> list[tuple[str, str]]:
        """Name and detail of what is wrong now, for the line's health."""
        now_ns, utc_ns = self._clock(), time.time_ns()
        none = self.none()
        found = [("golden_none", none)] if none else []
        for subject in self.subjects():
            state = self._schedule.state(subject, now_ns, utc_ns)
            if state in {GoldenState.DUE, GoldenState.OVERDUE, GoldenState.FAILED}:
                is_held = self._schedule.reason(subject, now_ns, utc_ns) is not None
                what = "its parts are undecidable" if is_held else "its parts are judged"
                held_utc_ns = self._schedule.held_from_utc_ns(subject, now_ns, utc_ns)
                if held_utc_ns is not None:
                    what += f" until {_minute(held_utc_ns)}, from then on every part is undecidable"
                problems = failures.get(subject.sha256, ()) if state is GoldenState.FAILED else ()
                detail = f"recipe {subject.recipe}: {what} until a check passes"
                found.append((f"golden_{state}", "; ".join([detail, *problems[:_MOST_PROBLEMS]])))
        return found

    def states(self) -> list[GoldenState]:
        """Of every recipe in force that has golden parts."""
        now_ns, utc_ns = self._clock(), time.time_ns()
        return [self._schedule.state(subject, now_ns, utc_ns) for subject in self.subjects()]

    def dues(self) -> list[GoldenDue]:
        """Of every recipe in force that has golden parts, for who asks about checks."""
        now_ns, utc_ns = self._clock(), time.time_ns()
        return [
            GoldenDue(
                subject.recipe,
                self._schedule.state(subject, now_ns, utc_ns),
                self._schedule.due_utc_ns(subject, now_ns, utc_ns),
                self._schedule.reason(subject, now_ns, utc_ns),
            )
            for subject in self.subjects()
        ]

    def status(
        self, check: GoldenCheck | None, last: Mapping[str, CheckResult], failures: Failures
    ) -> list[GoldenStatus]:
        """Of every recipe in force that has golden parts, for the line's status.

        Args:
            check: what is under way, if any.
            last: the last check that is recorded of each, by the subject's sha256.
            failures: why those failed that have not passed since.
        """
        now_ns, utc_ns, schedule = self._clock(), time.time_ns(), self._schedule
        found = []
        for subject in self.subjects():
            recipe = subject.recipe
            past = last.get(subject.sha256)
            found.append(
                GoldenStatus(
                    recipe,
                    schedule.state(subject, now_ns, utc_ns),
                    schedule.reason(subject, now_ns, utc_ns) is not None,
                    schedule.due_utc_ns(subject, now_ns, utc_ns),
                    schedule.due_parts(subject),
                    schedule.overdue_utc_ns(subject, now_ns, utc_ns),
                    check.name if check is not None and check.subject.recipe == recipe else None,
                    past.outcome if past else None,
                    past.utc_ns if past else None,
                    past.who if past else "",
                    list(failures.get(subject.sha256, ())),
                    schedule.held_from_utc_ns(subject, now_ns, utc_ns),
                )
            )
        return found


def _minute(utc_ns: int) -> str:
    """A minute by this host's clock, with its offset: who reads it may be in another zone.

    A second is added: by two clocks it is computed a little differently each time, and a whole minute would
    now and then be told as the one before.
    """
    at = datetime.fromtimestamp(utc_ns // 1_000_000_000 + 1, UTC).astimezone()
    return at.isoformat(sep=" ", timespec="minutes")
