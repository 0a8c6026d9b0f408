"""When a check is due, whatever happens to clocks and processes."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings as how_hard
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inspectd.config import GoldenPart, GoldenSettings
from inspectd.golden.results import CheckDue, CheckResult, past_of
from inspectd.golden.schedule import GoldenPast, GoldenSchedule, GoldenSubject
from inspectd.shifts import next_shift_utc_ns
from inspectd.wire.golden import GoldenOutcome, GoldenState
from inspectd.wire.verdicts import Reason

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
T0 = 1_763_900_000_000_000_000  # 2025-11-23 12:13:20 UTC
UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
A, B = GoldenSubject("a", "a" * 64), GoldenSubject("b", "b" * 64)
PARTS = tuple(GoldenPart(name=f"{recipe}-bad", recipe=recipe, expect="fail") for recipe in "ab")
OFF, PASSED, DUE, OVERDUE, FAILED = GoldenState


def rules(**changed) -> GoldenSettings:
    return GoldenSettings(parts=PARTS, **{"at_start": False, "at_changeover": False, **changed})


class Line:
    """A schedule, and the two clocks it is handed."""

    def __init__(self, settings: GoldenSettings, *subjects: GoldenSubject, **past: GoldenPast) -> None:
        self.now_ns, self.utc_ns = 5 * HOUR, T0
        by_sha256 = {name * 64: each for name, each in past.items()}
        self.schedule = GoldenSchedule(settings, by_sha256, UTC)
        self.schedule.start(subjects or [A], self.now_ns, self.utc_ns)

    def after(self, minutes: float, *, set_minutes: float = 0) -> GoldenState:
        """The state of `a` later, with the wall clock set meanwhile."""
        self.now_ns += int(minutes * MINUTE)
        self.utc_ns += int((minutes + set_minutes) * MINUTE)
        return self.schedule.state(A, self.now_ns, self.utc_ns)

    def passes(self, subject: GoldenSubject = A) -> None:
        self.schedule.take_pass(subject.sha256, self.now_ns, self.utc_ns)

    def changes_to(self, *subjects: GoldenSubject) -> None:
        self.schedule.change_over(subjects, self.now_ns, self.utc_ns)

    @property
    def reason(self) -> Reason | None:
        return self.schedule.reason(A, self.now_ns, self.utc_ns)

    @property
    def due_in_minutes(self) -> float | None:
        due_utc_ns = self.schedule.due_utc_ns(A, self.now_ns, self.utc_ns)
        return None if due_utc_ns is None else (due_utc_ns - self.utc_ns) / MINUTE


def test_a_check_is_due_then_overdue_and_passes() -> None:
    line = Line(rules(interval_hours=8, grace_minutes=15))
    assert (line.after(0), line.reason) == (DUE, None)  # it never showed anything
    assert line.after(14.9) is DUE
    assert (line.after(0.1), line.reason) == (OVERDUE, Reason.GOLDEN_OVERDUE)
    line.passes()
    assert (line.after(0), line.reason, line.due_in_minutes) == (PASSED, None, 480)
    assert line.after(479) is PASSED
    assert line.after(1) is DUE
    assert line.after(15) is OVERDUE


def test_without_grace_a_check_is_overdue_at_once() -> None:
    assert Line(rules(interval_hours=8, grace_minutes=0)).after(0) is OVERDUE


def test_what_failed_stays_failed_until_a_check_passes() -> None:
    line = Line(rules(interval_hours=1), a=GoldenPast(passed_utc_ns=T0))
    for _ in range(3):
        line.schedule.take_failure(A.sha256)
        assert (line.after(600), line.reason) == (FAILED, Reason.GOLDEN_FAILED)
        line.changes_to(B)
        assert line.after(1) is FAILED
        line.changes_to(A)
    line.passes()
    assert (line.after(0), line.reason) == (PASSED, None)


def test_an_interlock_that_only_warns_leaves_parts_alone() -> None:
    line = Line(rules(interval_hours=1, interlock="warn"))
    assert (line.after(60), line.reason) == (OVERDUE, None)


def test_parts_count_for_their_own_recipe_since_its_last_pass() -> None:
    line = Line(rules(interval_parts=3), A, B)
    line.passes(A)
    line.passes(B)
    for sha256 in (A.sha256, B.sha256, A.sha256, "of none with golden parts"):
        line.schedule.count_part(sha256)
    assert (line.after(1e5), line.due_in_minutes) == (PASSED, None)
    line.schedule.count_part(A.sha256)
    assert line.after(0) is DUE
    line.passes()
    assert line.after(0) is PASSED


def test_how_long_until_a_check_is_due_or_overdue_is_told() -> None:
    line = Line(rules(grace_minutes=10, interval_parts=3), a=GoldenPast(passed_utc_ns=T0, parts=1))
    assert (line.schedule.due_parts(A), line.schedule.overdue_utc_ns(A, line.now_ns, T0)) == (2, None)
    line.schedule.count_part(A.sha256)
    line.schedule.count_part(A.sha256)
    assert line.after(1) is DUE
    assert line.schedule.due_parts(A) is None
    assert line.schedule.overdue_utc_ns(A, line.now_ns, line.utc_ns) == line.utc_ns + 10 * MINUTE


def test_a_recipe_without_golden_parts_is_never_stopped_and_one_that_was_never_in_force_is() -> None:
    other = GoldenSubject("other", "c" * 64)
    schedule = Line(rules(interval_hours=1), A, other).schedule
    assert [schedule.state(subject, 0, T0) for subject in (other, B)] == [OFF, OVERDUE]


A2 = GoldenSubject("a", "2" * 64, 2)


def test_another_version_is_held_until_it_has_shown_itself_what_this_one_has() -> None:
    line = Line(rules(interval_hours=8))
    line.passes()
    unknown = GoldenSubject("a", "")
    for subject in (A2, unknown):
        assert line.schedule.reason(subject, line.now_ns, line.utc_ns) is Reason.GOLDEN_OVERDUE
    assert line.reason is None


def test_parts_of_a_version_that_failed_are_held_after_the_next_one_is_in_force() -> None:
    line = Line(rules(interval_hours=8, grace_minutes=15))
    line.schedule.take_failure(A.sha256)
    line.changes_to(A2)
    assert line.schedule.reason(A2, line.now_ns, line.utc_ns) is None  # in its grace
    assert line.reason is Reason.GOLDEN_FAILED


def test_a_recipe_that_judges_though_another_one_is_in_force_becomes_due() -> None:
    for settings, parts in ((rules(interval_hours=8), 0), (rules(interval_parts=3), 3)):
        line = Line(settings)
        line.passes()
        line.changes_to(B)
        for _ in range(parts):
            line.schedule.count_part(A.sha256)
        line.after(480)
        assert line.reason is None  # its grace begins with the first part that it judges
        assert line.after(14) is DUE
        line.after(1)
        assert line.reason is Reason.GOLDEN_OVERDUE


@pytest.mark.parametrize(
    ("past", "minutes_until_due"),
    [
        (GoldenPast(passed_utc_ns=T0 - HOUR), 420),
        (GoldenPast(passed_utc_ns=T0 - 9 * HOUR), 0),  # became due while the line was off
        (GoldenPast(passed_utc_ns=T0 - 9 * HOUR, due_utc_ns=T0 - 10 * MINUTE), -10),
        (GoldenPast(passed_utc_ns=T0 + 1), 0),  # nobody knows when that was
        (GoldenPast(passed_utc_ns=T0 - 9 * HOUR, due_utc_ns=T0 + HOUR), -15),
        (GoldenPast(), 0),
    ],
)
def test_a_restart_keeps_the_due_time_as_far_as_it_can_be_known(past, minutes_until_due) -> None:
    assert Line(rules(interval_hours=8), a=past).due_in_minutes == minutes_until_due


def test_a_restart_keeps_a_failure_and_the_number_of_parts() -> None:
    assert Line(rules(interval_hours=8), a=GoldenPast(T0 - 1, is_failed=True)).after(0) is FAILED
    assert Line(rules(interval_parts=9), a=GoldenPast(T0 - 1, parts=8)).after(0) is PASSED
    assert Line(rules(interval_parts=9), a=GoldenPast(T0 - 1, parts=9)).after(0) is DUE
    assert Line(rules(interval_parts=9), a=GoldenPast(T0 - 1, parts=None)).after(0) is DUE


def test_another_bank_or_threshold_has_to_show_anew_that_it_judges_well() -> None:
    line = Line(rules(interval_hours=8), a=GoldenPast(T0 - 1))
    assert line.after(1) is PASSED
    other = GoldenSubject("a", "d" * 64)
    line.changes_to(other)
    assert line.schedule.state(other, line.now_ns, line.utc_ns) is DUE
    line.changes_to(A)
    assert line.after(0) is PASSED


def test_a_start_and_a_changeover_make_a_check_due_where_the_settings_say_so() -> None:
    past = GoldenPast(T0 - 1)
    line = Line(rules(interval_hours=8, at_start=True, at_changeover=True), a=past, b=past)
    assert line.after(0) is DUE
    line.passes()
    line.changes_to(B)
    line.after(600)
    line.changes_to(A)
    assert (line.after(0), line.due_in_minutes) == (DUE, 0)
    line.changes_to(B)
    line.changes_to(A)  # going back and forth wins no time
    assert line.after(15) is OVERDUE
    assert Line(rules(interval_hours=8), a=past).after(0) is PASSED


def test_a_recipe_of_the_file_that_a_reload_gives_a_camera_is_put_in_force() -> None:
    named = GoldenSubject("b", "b" * 64, is_default=False)
    past = GoldenPast(T0 - 1)
    line = Line(rules(interval_hours=8, at_changeover=True), A, named, a=past, b=past)
    line.changes_to(A, B)
    assert line.after(0) is PASSED
    assert line.schedule.state(B, line.now_ns, line.utc_ns) is DUE


def test_pictures_that_are_made_otherwise_make_a_check_due() -> None:
    for at_changeover, state in ((True, DUE), (False, PASSED)):
        line = Line(rules(interval_hours=8, at_changeover=at_changeover), A, B, a=GoldenPast(T0 - 1))
        line.schedule.outdate_all_but([A, GoldenSubject("other", "")], line.now_ns)
        assert line.after(1) is PASSED
        line.schedule.outdate_all_but([B], line.now_ns)
        assert line.after(0) is state


def test_of_pictures_that_are_made_otherwise_what_is_not_in_force_is_due_too() -> None:
    rule = rules(interval_hours=8, at_changeover=True)
    line = Line(rule, A, a=GoldenPast(T0 - 1), b=GoldenPast(T0 - 1))
    line.changes_to(B)
    line.passes(B)
    line.schedule.outdate_all_but([B], line.now_ns)
    line.after(60)
    assert line.schedule.reason(B, line.now_ns, line.utc_ns) is None
    assert line.schedule.reason(A, line.now_ns, line.utc_ns) is None  # its first part, which a trigger names
    line.after(15)
    assert line.schedule.reason(A, line.now_ns, line.utc_ns) is Reason.GOLDEN_OVERDUE


def test_of_pictures_made_otherwise_what_comes_back_later_has_its_grace_then() -> None:
    line = Line(rules(at_changeover=True), A, a=GoldenPast(T0 - 1), b=GoldenPast(T0 - 1))
    line.changes_to(B)
    line.passes(B)
    line.schedule.outdate_all_but([B], line.now_ns)
    line.after(600)
    line.changes_to(A)
    assert line.after(0) is DUE
    assert line.after(15) is OVERDUE


def test_what_becomes_due_while_another_recipe_is_in_force_has_its_grace_when_it_comes_back() -> None:
    line = Line(rules(interval_hours=1), A, a=GoldenPast(T0), b=GoldenPast(T0))
    line.changes_to(B)
    line.after(600)
    line.changes_to(A)
    assert line.after(0) is DUE
    assert line.after(15) is OVERDUE


def test_changes_are_told_once_each() -> None:
    line = Line(rules(interval_hours=1, grace_minutes=15), a=GoldenPast(T0))
    seen = []
    for minutes in (0, 60, 15):
        line.after(minutes)
        seen += [c.state for c in line.schedule.turn(line.now_ns, line.utc_ns)]
        assert line.schedule.turn(line.now_ns, line.utc_ns) == []
    line.passes()
    line.after(60)
    told = [(c.subject, c.state) for c in line.schedule.change_over([B], line.now_ns, line.utc_ns)]
    told += [(c.subject, c.state) for c in line.schedule.turn(line.now_ns, line.utc_ns)]
    assert (seen, told) == ([PASSED, DUE, OVERDUE], [(A, DUE), (B, DUE)])


def test_a_clock_that_is_set_back_puts_nothing_off_and_one_set_forward_leaps_over_nothing() -> None:
    settings = rules(interval_hours=8, shift_starts=("14:00",))
    back = Line(settings, a=GoldenPast(T0))  # 12:13:20, so that the shift is 106.7 minutes away
    assert back.after(100, set_minutes=-300) is PASSED
    assert back.after(7) is DUE
    forward = Line(settings, a=GoldenPast(T0))
    assert forward.after(1, set_minutes=106) is DUE
    assert forward.after(15) is OVERDUE
    weeks = Line(settings, a=GoldenPast(T0))
    assert weeks.after(1, set_minutes=20 * 24 * 60) is DUE


def test_a_wall_clock_behind_what_the_line_recorded_is_not_believed() -> None:
    for past, expected in (
        (GoldenPast(T0 - 2 * HOUR), DUE),
        (GoldenPast(T0 - 2 * HOUR, due_utc_ns=T0 - MINUTE), OVERDUE),
    ):
        schedule = GoldenSchedule(rules(interval_hours=8), {A.sha256: past}, UTC)
        schedule.start([A], 0, T0, newest_utc_ns=T0 + MINUTE)
        assert schedule.state(A, 0, T0) is expected
        schedule = GoldenSchedule(rules(interval_hours=8), {A.sha256: past}, UTC)
        schedule.start([B], 0, T0, newest_utc_ns=T0 + MINUTE)
        schedule.change_over([A], 0, T0)  # it was not in force at the start
        assert schedule.state(A, 0, T0) is expected


@pytest.mark.parametrize(
    ("start", "day", "expected_utc"),
    [
        ("06:00", "2026-03-28", ["2026-03-28T05:00", "2026-03-29T04:00", "2026-03-30T04:00"]),
        ("02:30", "2026-03-28", ["2026-03-28T01:30", "2026-03-29T01:30", "2026-03-30T00:30"]),  # leapt over
        ("02:30", "2026-10-24", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]),  # there twice
    ],
)
def test_a_shift_starts_once_a_day_when_clocks_are_put_forward_and_back(start, day, expected_utc) -> None:
    at, found = int(datetime.fromisoformat(day).replace(tzinfo=BERLIN).timestamp()) * 10**9, []
    for _ in expected_utc:
        at = next_shift_utc_ns(at, [start], BERLIN)
        found.append(datetime.fromtimestamp(at // 10**9, UTC).strftime("%Y-%m-%dT%H:%M"))
    assert found == expected_utc


def test_shifts_of_this_host_and_none() -> None:
    assert next_shift_utc_ns(T0, []) is None
    starts = ["06:00", "14:00", "22:00"]
    after = [next_shift_utc_ns(T0 + hour * HOUR, starts) for hour in range(24)]
    assert all(0 < at - (T0 + hour * HOUR) <= 9 * HOUR for hour, at in enumerate(after))
    assert {datetime.fromtimestamp(at // 10**9, UTC).astimezone().strftime("%H:%M") for at in after} == set(
        starts
    )


class AnyLife(RuleBasedStateMachine):
    """Whatever happens, nothing is judged much longer than the interval and the grace after the last pass."""

    INTERVAL, GRACE = 120, 20

    @initialize(warm_parts=some.integers(0, 1))
    def begin(self, warm_parts) -> None:
        self.settings = rules(
            interval_hours=self.INTERVAL / 60,
            grace_minutes=self.GRACE,
            interval_parts=1000,
            shift_starts=("13:00",),
            at_changeover=bool(warm_parts),
        )
        self.real, self.offset = 0, 0  # minutes
        self.newest_utc_ns, self.lines = 0, []
        self.passed, self.is_failed, self.back, self.is_restarted, self.parts = None, False, 0, False, 0
        self.restart()

    @property
    def now_ns(self) -> int:
        return self.real * MINUTE

    @property
    def utc_ns(self) -> int:
        return T0 + (self.real + self.offset) * MINUTE

    @rule()
    def restart(self) -> None:
        past = past_of(self.lines)
        self.schedule = GoldenSchedule(self.settings, past, UTC)
        self.schedule.start([A], self.now_ns, self.utc_ns, self.newest_utc_ns)
        self.is_restarted = True
        self.record()

    def record(self, changes=()) -> None:
        for change in [*changes, *self.schedule.turn(self.now_ns, self.utc_ns)]:
            if change.state in {DUE, OVERDUE}:
                self.lines.append(CheckDue(max(0, change.due_utc_ns), "a", None, A.sha256))

    @rule(minutes=some.integers(0, 150))
    def wait(self, minutes) -> None:
        self.real += minutes
        self.record()

    @rule(minutes=some.integers(-500, 500))
    def set_clock(self, minutes) -> None:
        self.offset += minutes
        self.back += max(0, -minutes)

    @rule(count=some.integers(0, 700))
    def judge_parts(self, count) -> None:
        for _ in range(count):
            self.schedule.count_part(A.sha256)
        self.parts += count

    @rule()
    def change_over_and_back(self) -> None:
        self.record(self.schedule.change_over([B], self.now_ns, self.utc_ns))
        self.record(self.schedule.change_over([A], self.now_ns, self.utc_ns))

    @rule()
    def fail(self) -> None:
        self.schedule.take_failure(A.sha256)
        self.is_failed = True
        self._end(GoldenOutcome.FAILED)

    @rule()
    def pass_check(self) -> None:
        self.schedule.take_pass(A.sha256, self.now_ns, self.utc_ns)
        self.passed, self.is_failed, self.back = self.real, False, 0
        self.is_restarted, self.parts = False, 0
        self._end(GoldenOutcome.PASSED)
        state = self.schedule.state(A, self.now_ns, self.utc_ns)
        assert (state, self.schedule.reason(A, self.now_ns, self.utc_ns)) == (PASSED, None)

    def _end(self, outcome) -> None:
        utc_ns = self.utc_ns
        self.lines.append(CheckResult(utc_ns, utc_ns, "c", "", "a", None, A.sha256, outcome, [], []))
        self.record()

    @invariant()
    def nothing_is_judged_for_too_long(self) -> None:
        self.newest_utc_ns = max(self.newest_utc_ns, self.utc_ns)
        state = self.schedule.state(A, self.now_ns, self.utc_ns)
        reason = self.schedule.reason(A, self.now_ns, self.utc_ns)
        assert (state is FAILED) == self.is_failed
        assert (reason is not None) == (state in {FAILED, OVERDUE})
        since = self.real if self.passed is None else self.real - self.passed
        longest = self.INTERVAL if self.passed is not None else 0
        # Only a restart leaves the wall clock alone, and then what it was set back may count.
        allowance = self.GRACE * (2 if self.is_restarted else 1) + self.back * self.is_restarted
        if since >= longest + allowance:
            assert reason is not None
        if self.parts >= 1000 and not self.is_failed:
            assert state in {DUE, OVERDUE}


AnyLife.TestCase.settings = how_hard(max_examples=300, stateful_step_count=30, deadline=None)
test_any_life = AnyLife.TestCase
