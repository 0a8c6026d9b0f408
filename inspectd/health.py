"""What is wrong with a line now, in the terms of NAMUR NE 107: for the bus, metrics and `inspectd status`.

Alarms and warnings say when something begins; this says what holds. It is worked out anew from the facts for
every heartbeat and every answer to `inspectd status`, so nothing can be forgotten or hold for ever.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import msgspec

from inspectd.alarms import EmitEvent
from inspectd.metrics import Metrics
from inspectd.quality.drift import Drift
from inspectd.records import CameraPhase
from inspectd.wire import Evaluation, HealthCondition, HealthStatus, LineState, Reason, RefusalReason, Verdict
from inspectd.wire.health import CONDITIONS, SEVERITY

_Kind = tuple[Evaluation, Reason]
_What = TypeVar("_What")

_OF_REASON: Final = {
    Reason.OVERLOAD: "too_fast",
    Reason.DEADLINE: "late",
    Reason.SCORING_LOST: "scoring_restarted",
    Reason.SCORING_DOWN: "scoring_restarted",
    Reason.SCORING_ERROR: "scoring_errors",
    Reason.FRAME_LOST: "bad_frames",
    Reason.BLACK: "bad_frames",
    Reason.FROZEN: "bad_frames",
    Reason.PARTIAL: "bad_frames",
    Reason.STALE: "bad_frames",
    Reason.FORMAT: "wrong_format",
    Reason.MISSED_TRIGGER: "missed_triggers",
    Reason.NO_PART: "empty_triggers",
    Reason.QUALITY_EXPOSURE: "quality_exposure",
    Reason.QUALITY_COLOUR: "quality_colour",
    Reason.QUALITY_SCENE: "quality_scene",
    Reason.QUALITY_POSITION: "quality_position",
    Reason.QUALITY_FOCUS: "quality_focus",
}
"""Conditions of a camera whose verdicts of the last minute have such a reason. The others are none of their
own: scoring is down, or the line starts or ends."""

_SECOND_NS: Final = 1_000_000_000
_MINUTE_SECONDS: Final = 60
_SHARES: Final = 200
"""Verdicts whose median score is given."""
_CLOCK_SET_NS: Final = 1_000_000_000
"""A wall clock that differs by more from what time has passed was set: no slewing of it looks like that."""
_MOST_CONDITIONS: Final = 50
"""Said at once, more than there are names; a heartbeat is not to grow without end with the cameras."""


@dataclass(frozen=True)
class LineFacts:
    """What conditions are worked out from.

    Attributes:
        state: of the line, as heartbeats give it.
        scoring_ready: every recipe is warm in a scoring process.
        phases: by camera.
        recent: number of verdicts of the last minute by evaluation and reason, by camera.
        refused: number of triggers that were refused in the last minute, by reason.
        journal_failure: the reason why no verdict is recorded, if none is.
        evidence_problem: the reason why no evidence is kept, if none is.
        evidence_stuck: the reason why old evidence is not removed, if it is not.
        doors_down: sides whose clients cannot be served.
        shut: sockets that take no more clients.
        keys_unread: the disk of the list of allowed keys does not answer.
        exposed: endpoints of plain TCP that leave the host.
        scoring_down: scoring processes that are not warm.
        scoring_refused: why one of them has banks that are not to judge; empty: none has.
        told: conditions that a part of the line tells by itself, each with its detail.
        not_set: cameras that are not set as their recipe needs, with the reason.
        drifts: slow changes to warn of, by place.
    """

    state: LineState
    scoring_ready: bool
    phases: Mapping[str, CameraPhase]
    recent: Mapping[str, Counter[_Kind]] = field(default_factory=dict)
    refused: Counter[RefusalReason] = field(default_factory=Counter)
    journal_failure: str | None = None
    evidence_problem: str | None = None
    evidence_stuck: str | None = None
    doors_down: Sequence[str] = ()
    shut: Sequence[str] = ()
    keys_unread: bool = False
    exposed: Sequence[str] = ()
    scoring_down: Sequence[str] = ()
    scoring_refused: str = ""
    told: Sequence[tuple[str, str]] = ()
    not_set: Mapping[str, str] = field(default_factory=dict)
    drifts: Mapping[str, Sequence[Drift]] = field(default_factory=dict)


class LastMinute(Generic[_What]):
    """Things of the last minute, counted by what they are, second by second."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, Counter[_What]]] = deque()

    def add(self, what: _What, now_ns: int) -> None:
        """Count one."""
        second = now_ns // _SECOND_NS
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
        self._seconds[-1][1][what] += 1

    def counts(self, now_ns: int) -> Counter[_What]:
        """How many there are of each."""
        second = now_ns // _SECOND_NS
        while self._seconds and self._seconds[0][0] <= second - _MINUTE_SECONDS:
            self._seconds.popleft()
        counts: Counter[_What] = Counter()
        for _, of_second in self._seconds:
            counts.update(of_second)
        return counts


class RecentVerdicts:
    """The verdicts of a camera, or of one of its regions, of the last minute, and the last scores."""

    def __init__(self) -> None:
        self._kinds = LastMinute[_Kind]()
        self._shares: deque[float] = deque(maxlen=_SHARES)

    def add(self, verdict: Verdict, now_ns: int) -> None:
        """Count a verdict."""
        self._kinds.add((verdict.evaluation, verdict.reason), now_ns)
        if verdict.score is not None and verdict.threshold:
            self._shares.append(verdict.score / verdict.threshold)

    def kinds(self, now_ns: int) -> Counter[_Kind]:
        """How many there are of each evaluation and reason."""
        return self._kinds.counts(now_ns)

    def score_share(self) -> float | None:
        """Median score of the last verdicts that have one, as a share of the threshold."""
        return statistics.median(self._shares) if self._shares else None


class _Standing:
    """Since when each condition holds, by its name and camera."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str | None], tuple[int, int]] = {}
        """By the monotonic clock, and by the wall clock as it is set now."""

    def dated(self, found: Sequence[HealthCondition], now_ns: int, utc_ns: int) -> list[HealthCondition]:
        """All that is found now, with since when; what is not found is forgotten."""
        before, self._since = self._since, {}
        for each in found:
            key = each.condition, each.camera
            began_ns, since_utc_ns = before.get(key, (now_ns, utc_ns))
            by_clock_ns = utc_ns - (now_ns - began_ns)
            if abs(by_clock_ns - since_utc_ns) > _CLOCK_SET_NS:
                since_utc_ns = by_clock_ns
            self._since[key] = began_ns, since_utc_ns
        return [
            msgspec.structs.replace(each, since_utc_ns=self._since[each.condition, each.camera][1])
            for each in found
        ]


def find_conditions(facts: LineFacts) -> list[HealthCondition]:
    """What is wrong, the most severe first. Pure."""
    return _bounded(_find_all(facts))


def status_of(conditions: Sequence[HealthCondition]) -> HealthStatus:
    """The most severe status signal."""
    statuses = [HealthStatus(each.status) for each in conditions]
    return max(statuses, key=SEVERITY.__getitem__, default=HealthStatus.GOOD)


def _bounded(found: list[HealthCondition]) -> list[HealthCondition]:
    """As many as are said, in their order: the first of each name, as readers act on it; the most severe."""
    first = set({each.condition: number for number, each in reversed([*enumerate(found)])}.values())
    others = [number for number in range(len(found)) if number not in first]
    return [found[number] for number in sorted([*first, *others[: _MOST_CONDITIONS - len(first)]])]


def _find_all(facts: LineFacts) -> list[HealthCondition]:
    return sorted(_find(facts), key=lambda each: -SEVERITY[HealthStatus(each.status)])


def _find(facts: LineFacts) -> Iterator[HealthCondition]:
    yield from _of_the_line(facts)
    for camera, phase in facts.phases.items():
        if phase is CameraPhase.DOWN:
            yield _condition("camera_down", "it delivers no frames", camera)
        elif phase is CameraPhase.OPENING and facts.state == LineState.RUNNING:
            yield _condition("camera_opening", "it is being opened", camera)
    for camera, problem in facts.not_set.items():
        yield _condition("camera_settings_failed", problem, camera)
    for place, drifts in facts.drifts.items():
        for drift in drifts:
            yield _condition(f"drift_{drift.cause}", str(drift), place)
    for camera, recent in facts.recent.items():
        counts: Counter[str] = Counter()
        for (_, reason), count in recent.items():
            if reason in _OF_REASON:
                counts[_OF_REASON[reason]] += count
        for name, count in counts.items():
            yield _condition(name, f"{count} of {recent.total()} verdicts of the last minute", camera)


def _of_the_line(facts: LineFacts) -> Iterator[HealthCondition]:
    if facts.state != LineState.RUNNING:
        name = "starting" if facts.state == LineState.STARTING else "stopping"
        yield _condition(name, f"the line is {facts.state}")
    elif not facts.scoring_ready:
        told = "no score for parts until a process with their recipe is warm"
        if facts.scoring_refused:
            told = f"{facts.scoring_refused}: put the right one back, or leave it; then restart the line"
        yield _condition("scoring_down", told)
    elif facts.scoring_down:
        names = ", ".join(facts.scoring_down)
        why = f" ({facts.scoring_refused})" if facts.scoring_refused else ""
        yield _condition("scoring_process_down", f"{names}: not warm{why}; the others score all parts")
    if facts.state == LineState.RUNNING and facts.doors_down:
        sides = ", ".join(facts.doors_down)
        yield _condition("door_down", f"{sides}: no trigger comes in, no verdict goes out")
    if facts.refused:
        counts = ", ".join(f"{count} {reason}" for reason, count in facts.refused.most_common())
        yield _condition("triggers_refused", f"in the last minute: {counts}")
    yield from (_condition(*each) for each in facts.told)
    for name, detail in (
        ("journal_failed", facts.journal_failure),
        ("evidence_stopped", facts.evidence_problem),
        ("evidence_stuck", facts.evidence_stuck),
        ("door_shut", ", ".join(facts.shut)),
        ("keys_unread", "their disk does not answer" if facts.keys_unread else None),
        ("insecure", ", ".join(facts.exposed)),
    ):
        if detail:
            yield _condition(name, detail)


def _condition(name: str, detail: str, camera: str | None = None) -> HealthCondition:
    return HealthCondition(CONDITIONS[name], name, detail, camera)


class HealthWatch:
    """The line's conditions; counts them, and publishes an event when the status signal changes."""

    def __init__(
        self,
        places: Sequence[str],
        metrics: Metrics,
        emit: EmitEvent,
        clock: Callable[[], int] = time.monotonic_ns,
        utc_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Watch the verdicts of these places (`Verdict.place`); count in `metrics`; events go to `emit`."""
        self.conditions = [_condition("starting", "the line is starting")]
        self.status = HealthStatus.FUNCTION_CHECK
        self.recent = {place: RecentVerdicts() for place in places}
        self.refused = LastMinute[RefusalReason]()
        self._metrics = metrics
        self._emit = emit
        self._standing = _Standing()
        self._clock, self._utc_clock = clock, utc_clock

    def kinds_by_camera(self, now_ns: int) -> dict[str, Counter[_Kind]]:
        """How many verdicts of the last minute there are of each evaluation and reason, by camera."""
        found: dict[str, Counter[_Kind]] = {}
        for place, recent in self.recent.items():
            found.setdefault(place.partition("/")[0], Counter()).update(recent.kinds(now_ns))
        return found

    def find(self, facts: LineFacts) -> list[HealthCondition]:
        """What is wrong, the most severe first, and since when."""
        found = self._standing.dated(_find_all(facts), self._clock(), self._utc_clock())
        return _bounded(found)

    def update(self, facts: LineFacts) -> None:
        """Find the conditions of now."""
        self.conditions = self.find(facts)
        before, self.status = self.status, status_of(self.conditions)
        self._metrics.health(self.status, Counter(each.condition for each in self.conditions))
        # After the event `stopped` there is no other one.
        if self.status is not before and facts.state != LineState.STOPPED:
            why = "; ".join(_words(each) for each in self.conditions if each.status == self.status)
            severity = "info" if SEVERITY[self.status] < SEVERITY[before] else "warning"
            self._emit(severity, "health", detail=f"{before} -> {self.status}" + (f": {why}" if why else ""))


def _words(condition: HealthCondition) -> str:
    return f"{condition.camera} {condition.condition}" if condition.camera else condition.condition
