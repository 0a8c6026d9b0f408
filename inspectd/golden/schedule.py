"""When a check with golden parts is due, and what follows if it is not done. Pure: time is handed in.

Every moment is handed in twice: `now_ns` by the monotonic clock, `utc_ns` by the clock on the wall. A check
is due by whichever comes to it first, so a clock that is set back puts nothing off. Across a restart only the
wall clock is left; where it cannot be believed, the check is due, and one that was due is overdue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Final

import msgspec

from inspectd.config.settings import GoldenSettings
from inspectd.shifts import next_shift_utc_ns
from inspectd.wire.golden import GoldenState
from inspectd.wire.verdicts import Reason

_HOUR_NS: Final = 3_600_000_000_000
_MINUTE_NS: Final = 60_000_000_000


class GoldenSubject(msgspec.Struct, frozen=True):
    """What a check proves something of: one recipe, as it judges now."""

    recipe: str
    """Its name, or its id in the recipe store."""
    sha256: str
    """Identifies settings, thresholds and banks; another one has to show anew that it judges well.
    Empty: not known, so that nothing was shown of it."""
    version: int | None = None
    """Of a recipe of the store."""
    is_default: bool = True
    """It judges parts whose triggers name no recipe; else those alone whose triggers name it."""


class GoldenPast(msgspec.Struct, frozen=True):
    """What earlier runs recorded of a subject."""

    passed_utc_ns: int | None = None
    """When its last check passed."""
    is_failed: bool = False
    """A check failed after that one."""
    due_utc_ns: int | None = None
    """Since when a check is due that has not passed yet."""
    parts: int | None = None
    """Parts judged by it since its last check passed; None: not known."""
    pictures_sha256: str = ""
    """Identifies the pictures of its last check that passed; empty: not known."""


class GoldenChange(msgspec.Struct, frozen=True):
    """A subject's state is another one than it was."""

    subject: GoldenSubject
    state: GoldenState
    due_utc_ns: int | None
    """Since when a check is due, which is to be recorded; or, where the state is passed, when the next is."""


class _Course(msgspec.Struct):
    """One subject through its checks."""

    subject: GoldenSubject
    told: GoldenState = GoldenState.OFF
    is_in_force: bool = False
    in_force_ns: int = 0
    """Since when, if it is."""
    is_failed: bool = False
    due_since_ns: int | None = None
    """Since when a check is due; None: none is."""
    next_ns: int | None = None
    next_utc_ns: int | None = None
    """When the next check is due, by either clock; None: never by time."""
    parts: int = 0


class GoldenSchedule:
    """The state of every recipe that has golden parts."""

    def __init__(
        self,
        settings: GoldenSettings,
        past: Mapping[str, GoldenPast] | None = None,
        zone: tzinfo | None = None,
    ) -> None:
        """Begin with nothing in force.

        Args:
            settings: the line's.
            past: what earlier runs recorded, by the subject's sha256.
            zone: of the shifts' starts; None: this host's.
        """
        self._settings = settings
        self._past = past or {}
        self._zone = zone
        self._grace_ns = int(settings.grace_minutes * _MINUTE_NS)
        self._is_holding = settings.interlock != "warn"
        self._with_parts = frozenset(part.recipe for part in settings.parts)
        self._newest_utc_ns = 0
        self._courses: dict[str, _Course] = {}  # by the subject's sha256

    # --- what happens on the line -------------------------------------------------------------------------

    def start(
        self,
        subjects: Iterable[GoldenSubject],
        now_ns: int,
        utc_ns: int,
        newest_utc_ns: int | None = None,
    ) -> None:
        """The line starts, and these are in force.

        Args:
            subjects: every recipe that may judge parts; those without golden parts are passed by.
            now_ns: monotonic clock.
            utc_ns: wall clock.
            newest_utc_ns: the latest time that the line has recorded, such as that of the journal's last
                verdict; if the wall clock is behind it, it cannot be believed.
        """
        self._newest_utc_ns = newest_utc_ns or 0
        for course in self._put_in_force(subjects, now_ns):
            self._remember(course, now_ns, utc_ns)
            if self._settings.at_start:
                self._become_due(course, now_ns)

    def change_over(self, subjects: Iterable[GoldenSubject], now_ns: int, utc_ns: int) -> list[GoldenChange]:
        """From now on these are in force; what is due of the others stays due for when they come back.

        Returns:
            as `turn`: what became so until now did so while the others were in force.
        """
        changes = self.turn(now_ns, utc_ns)
        known = set(self._courses)
        for course in self._put_in_force(subjects, now_ns):
            if course.subject.sha256 not in known:
                self._remember(course, now_ns, utc_ns)
            if self._settings.at_changeover:
                self._become_due(course, now_ns)
        return changes

    def outdate_all_but(self, others: Iterable[GoldenSubject], now_ns: int) -> None:
        """What all but these have passed was before a change, as of their pictures: it proves nothing now."""
        spared = {subject.sha256 for subject in others}
        for sha256, course in self._courses.items():
            if sha256 in spared or not self._settings.at_changeover:
                continue
            if course.is_in_force:
                self._become_due(course, now_ns)
            else:  # as by time: its grace begins when it comes back, or with the first part that it judges
                course.next_ns = now_ns if course.next_ns is None else min(now_ns, course.next_ns)

    def count_part(self, sha256: str) -> None:
        """A part was judged by this subject; a golden one is none."""
        course = self._courses.get(sha256)
        if course is not None:
            course.parts += 1

    def take_pass(self, sha256: str, now_ns: int, utc_ns: int) -> None:
        """A check of this subject passed now."""
        course = self._courses.get(sha256)
        if course is not None:
            course.is_failed, course.due_since_ns, course.parts = False, None, 0
            self._plan(course, now_ns, utc_ns, utc_ns)

    def take_failure(self, sha256: str) -> None:
        """A golden part got another verdict or score than expected from this subject."""
        course = self._courses.get(sha256)
        if course is not None:
            course.is_failed = True

    def turn(self, now_ns: int, utc_ns: int) -> list[GoldenChange]:
        """Subjects in force whose state is another one than at the last call."""
        changes = []
        for course in self._courses.values():
            if not course.is_in_force:
                continue
            state = self._state(course, now_ns, utc_ns)
            if state is not course.told:
                due_utc_ns = self._due_utc_ns(course, now_ns, utc_ns)
                changes.append(GoldenChange(course.subject, state, due_utc_ns))
                course.told = state
        return changes

    # --- how things stand ---------------------------------------------------------------------------------

    def state(self, subject: GoldenSubject, now_ns: int, utc_ns: int) -> GoldenState:
        """How a subject stands. One that has golden parts and was never put in force is overdue."""
        course = self._courses.get(subject.sha256)
        if course is None:
            return GoldenState.OVERDUE if subject.recipe in self._with_parts else GoldenState.OFF
        return self._state(course, now_ns, utc_ns)

    def reason(self, subject: GoldenSubject, now_ns: int, utc_ns: int) -> Reason | None:
        """The reason for which parts that a subject judges are undecidable now; None: they are judged.

        Whatever is in force: a subject that still judges, as triggers name it or as its parts are under way,
        is held by its own state, and its checks become due meanwhile.
        """
        if not self._is_holding:
            return None
        course = self._courses.get(subject.sha256)
        if course is not None and course.due_since_ns is None and not course.is_in_force:
            is_due = self._came_due_ns(course, now_ns, utc_ns) is not None
            course.due_since_ns = now_ns if is_due else None
        match self.state(subject, now_ns, utc_ns):
            case GoldenState.FAILED:
                return Reason.GOLDEN_FAILED
            case GoldenState.OVERDUE:
                return Reason.GOLDEN_OVERDUE
        return None

    def due_utc_ns(self, subject: GoldenSubject, now_ns: int, utc_ns: int) -> int | None:
        """When its check is due, or since when it is; None: only after so many parts, or never."""
        course = self._courses.get(subject.sha256)
        if course is None:
            return None
        self._state(course, now_ns, utc_ns)
        return self._due_utc_ns(course, now_ns, utc_ns)

    def due_parts(self, subject: GoldenSubject) -> int | None:
        """So many more parts until its check is due; None: it is due, or not by their number."""
        course = self._courses.get(subject.sha256)
        if course is None or course.due_since_ns is not None or not self._settings.interval_parts:
            return None
        return max(0, self._settings.interval_parts - course.parts)

    def overdue_utc_ns(self, subject: GoldenSubject, now_ns: int, utc_ns: int) -> int | None:
        """When a check that is due is overdue, or since when it is; None: none is due."""
        course = self._courses.get(subject.sha256)
        if course is None or course.due_since_ns is None:
            return None
        return utc_ns + course.due_since_ns + self._grace_ns - now_ns

    def held_from_utc_ns(self, subject: GoldenSubject, now_ns: int, utc_ns: int) -> int | None:
        """From when parts that are judged now are undecidable if no check passes; None: never by this one."""
        is_due = self.state(subject, now_ns, utc_ns) is GoldenState.DUE
        return self.overdue_utc_ns(subject, now_ns, utc_ns) if is_due and self._is_holding else None

    # --- one subject --------------------------------------------------------------------------------------

    def _put_in_force(self, subjects: Iterable[GoldenSubject], now_ns: int) -> list[_Course]:
        """The courses of these that were not in force, or judged other parts, which they now do."""
        wanted = {each.sha256: each for each in subjects if each.recipe in self._with_parts}
        for course in self._courses.values():
            course.is_in_force = course.is_in_force and course.subject.sha256 in wanted
        new = []
        for sha256, subject in wanted.items():
            course = self._courses.setdefault(sha256, _Course(subject))
            if not course.is_in_force:
                course.is_in_force, course.in_force_ns = True, now_ns
                new.append(course)
            elif course.subject != subject:
                new.append(course)
            course.subject = subject
        return new

    def _remember(self, course: _Course, now_ns: int, utc_ns: int) -> None:
        """Set a course to where earlier runs left it."""
        is_clock_right = utc_ns >= self._newest_utc_ns
        utc_ns = max(utc_ns, self._newest_utc_ns)
        past = self._past.get(course.subject.sha256, GoldenPast())
        passed_utc_ns, due_utc_ns = past.passed_utc_ns, past.due_utc_ns
        is_count_lost = self._settings.interval_parts > 0 and past.parts is None
        course.is_failed = past.is_failed
        if due_utc_ns is not None:
            is_known = is_clock_right and due_utc_ns <= utc_ns
            course.due_since_ns = now_ns - max(utc_ns - due_utc_ns, 0 if is_known else self._grace_ns)
        elif passed_utc_ns is None or passed_utc_ns > utc_ns or is_count_lost or not is_clock_right:
            course.due_since_ns = now_ns
        else:
            course.parts = past.parts or 0
            self._plan(course, now_ns, utc_ns, passed_utc_ns)

    def _plan(self, course: _Course, now_ns: int, utc_ns: int, passed_utc_ns: int) -> None:
        """Find when the next check is due after one that passed."""
        shift_utc_ns = next_shift_utc_ns(passed_utc_ns, self._settings.shift_starts, self._zone)
        times = [] if shift_utc_ns is None else [shift_utc_ns]
        if self._settings.interval_hours:
            times.append(passed_utc_ns + int(self._settings.interval_hours * _HOUR_NS))
        course.next_utc_ns = min(times, default=None)
        course.next_ns = None if course.next_utc_ns is None else now_ns + course.next_utc_ns - utc_ns

    @staticmethod
    def _become_due(course: _Course, now_ns: int) -> None:
        if course.due_since_ns is None:
            course.due_since_ns = now_ns

    def _state(self, course: _Course, now_ns: int, utc_ns: int) -> GoldenState:
        if course.due_since_ns is None and course.is_in_force:
            course.due_since_ns = self._came_due_ns(course, now_ns, utc_ns)
        if course.is_failed:
            return GoldenState.FAILED
        if course.due_since_ns is None:
            return GoldenState.PASSED
        return GoldenState.OVERDUE if now_ns - course.due_since_ns >= self._grace_ns else GoldenState.DUE

    def _came_due_ns(self, course: _Course, now_ns: int, utc_ns: int) -> int | None:
        """Since when a check is due, by either clock or the number of parts; None: it is not."""
        if course.next_ns is not None and now_ns >= course.next_ns:
            return max(course.next_ns, course.in_force_ns)
        by_wall_clock = course.next_utc_ns is not None and utc_ns >= course.next_utc_ns
        most_parts = self._settings.interval_parts
        return now_ns if by_wall_clock or (most_parts and course.parts >= most_parts) else None

    @staticmethod
    def _due_utc_ns(course: _Course, now_ns: int, utc_ns: int) -> int | None:
        at_ns = course.next_ns if course.due_since_ns is None else course.due_since_ns
        return None if at_ns is None else utc_ns + at_ns - now_ns
