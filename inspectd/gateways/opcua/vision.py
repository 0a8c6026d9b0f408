"""The vision system that clients see: its states, and the parts under way. Pure: time is handed in."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum, StrEnum
from itertools import takewhile
from typing import Final, NamedTuple

import msgspec

from inspectd.gateways.opcua.results import (
    ResultState,
    VisionJob,
    VisionResult,
    result_of_job,
    result_of_verdict,
    without_verdict,
)
from inspectd.gateways.parts import Judgement, PartResult, PartsUnderWay, PlantTrigger
from inspectd.wire import Accepted, Heartbeat, LineState, PartVerdict, Verdict
from inspectd.wire.numbers import reason_number

_FAILED: Final = {"scoring_down", "golden_failed", "golden_overdue"}
_NO_PICTURES: Final = {"down", "ended"}
_SET_BACK_NS: Final = 100_000_000
_SET_BACK_SECONDS: Final = 5.0
_DRIFT_NS: Final = 1_000_000
"""From one heartbeat to the next: clocks do not run alike."""
_MOST_VIEWS: Final = 512
"""Views kept until their part's verdict comes."""
MOST_UNDECIDED: Final = 20_000
"""Parts that are told as no pass though the line may record one; as many as a question looks through."""


class MachineState(StrEnum):
    """States of a VisionStateMachine, by the names of their nodes."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    OPERATIONAL = "Operational"


_ENDING: Final = {LineState.DRAINING, LineState.STOPPED}
_NOT_HEARD: Final = (MachineState.PREOPERATIONAL, "not_heard")
_STOPPED: Final = (MachineState.PREOPERATIONAL, str(LineState.STOPPED))
_SILENT: Final = (MachineState.ERROR, "silent")


class AutomaticState(StrEnum):
    """States of a VisionAutomaticModeStateMachine."""

    INITIALIZED = "Initialized"
    """It is not known yet by which recipe parts would be judged."""
    READY = "Ready"
    SINGLE = "SingleExecution"
    """A job has no result yet; more may be started meanwhile."""
    CONTINUOUS = "ContinuousExecution"
    """Every part that the line judges is told, whoever triggered it."""


class MethodError(IntEnum):
    """What a method answers in `Error`; the specification has the positive numbers."""

    OK = 0
    NOT_READY = -1
    UNKNOWN_RECIPE = -2
    OVERLOAD = -3
    DUPLICATE = -4
    SHUTTING_DOWN = -5
    NOT_PERMITTED_NOW = -6
    NOT_LOADED = -7
    ARGUMENT = -8
    NO_ANSWER = -9


_ERRORS: Final = {
    "unknown_recipe": MethodError.UNKNOWN_RECIPE,
    "unknown": MethodError.UNKNOWN_RECIPE,
    "not_prepared": MethodError.UNKNOWN_RECIPE,
    "overload": MethodError.OVERLOAD,
    "duplicate_id": MethodError.DUPLICATE,
    "shutting_down": MethodError.SHUTTING_DOWN,
    "golden": MethodError.NOT_PERMITTED_NOW,
    "in_force": MethodError.NOT_PERMITTED_NOW,
    "damaged": MethodError.NOT_LOADED,
    "failed": MethodError.NOT_LOADED,
    "malformed": MethodError.ARGUMENT,
    "unknown_camera": MethodError.ARGUMENT,
    "no_answer": MethodError.NO_ANSWER,
}


def method_error(reason: str) -> MethodError:
    """What the line's refusal is to a client."""
    return _ERRORS.get(reason, MethodError.NOT_READY)


class _Told(NamedTuple):
    """What clients are told of a part that is not decidable, or not decided yet."""

    reason: int
    state: ResultState
    is_late: bool


class VisionSystem:
    """One line as a vision system.

    Args:
        is_continuous: every part of the line is told from the start, without a job.
        is_halted: Halt was called, and Reset was not since.
        first_acquisition: number of the first job.

    Attributes:
        counts: what happened, for metrics: results by judgement, triggers by answer, falls to Error by cause.
    """

    def __init__(
        self, first_acquisition: int, *, is_continuous: bool = False, is_halted: bool = False
    ) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.cause = "not_heard"
        """Why it is in `Preoperational` or `Error`."""
        self._next = first_acquisition
        self._parts = PartsUnderWay()
        self._untold: dict[str, None] = {}
        """Jobs that the line has neither answered, nor was told of as of refused parts; the oldest first."""
        self._heartbeat: Heartbeat | None = None
        self._last: Heartbeat | None = None
        self._ahead_ns: int | None = None
        """Of the line's wall clock before the gateway's clock, by the heartbeats that came quickest."""
        self._behind_since: float | None = None
        self._unheard = _NOT_HEARD
        """State and cause while it is not heard."""
        self._is_halted = is_halted
        self._has_recipe = False
        self._continuous: str | None = "" if is_continuous else None
        """JobId of the endless job; empty: it is the settings'."""
        self._is_continuous_always = is_continuous
        self._views: dict[tuple[int, int], Verdict] = {}
        self._results: list[VisionResult] = []
        self._undecided: dict[str, _Told] = {}
        """By ResultId; the oldest first."""
        self._machine = MachineState.PREOPERATIONAL

    @property
    def machine(self) -> MachineState:
        """State of the whole, as `update` last found it."""
        return self._machine

    @property
    def automatic(self) -> AutomaticState:
        """State of the automatic mode."""
        if not self._has_recipe:
            return AutomaticState.INITIALIZED
        if self._continuous is not None:
            return AutomaticState.CONTINUOUS
        return AutomaticState.SINGLE if len(self._parts) else AutomaticState.READY

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The line's last, while it lives."""
        return self._heartbeat

    @property
    def open_jobs(self) -> int:
        """Jobs without a result."""
        return len(self._parts)

    def line_seen(self, heartbeat: Heartbeat | None, now: float, *, is_stopped: bool = False) -> None:
        """The line lives, as its last heartbeat shows it; None: it does not, maybe as it said."""
        if heartbeat is not None and heartbeat is not self._last:
            self._last = heartbeat
            self._note_ahead(heartbeat.utc_ns - round(now * 1e9), now)
        self._heartbeat = heartbeat
        if heartbeat is not None or is_stopped:
            self._unheard = _STOPPED if is_stopped else _SILENT

    def _note_ahead(self, ahead_ns: int, now: float) -> None:
        """Take in what a heartbeat shows, which may have waited here or on its way.

        It may as well show that the line's clock was set back; that is believed once nothing else was shown
        for some seconds, in which every part of others looks late.
        """
        if self._ahead_ns is None or ahead_ns >= self._ahead_ns - _SET_BACK_NS:
            least_ns = ahead_ns if self._ahead_ns is None else self._ahead_ns - _DRIFT_NS
            self._ahead_ns, self._behind_since = max(ahead_ns, least_ns), None
        elif self._behind_since is None:
            self._behind_since = now
        elif now - self._behind_since > _SET_BACK_SECONDS:
            self._ahead_ns, self._behind_since = ahead_ns, None

    def recipe_known(self, *, is_known: bool) -> None:
        """It is known by which recipe the line judges."""
        self._has_recipe = is_known

    def update(self, now: float, utc_ns: int) -> list[VisionResult]:
        """Bring the state up to date; the results that there are since."""
        machine, cause = self._state()
        if machine is MachineState.ERROR and self._machine is not MachineState.ERROR:
            self.counts["error", cause] += 1
        if self._heartbeat is None:  # nothing that is under way can pass any more
            self._abandon(now, utc_ns, ResultState.COMPLETED)
        self._machine, self.cause = machine, cause
        for finished in self._parts.finished(now):
            self._results.append(self._counted(result_of_job(finished, utc_ns)))
        found, self._results = self._results, []
        return found

    def refusal(self) -> MethodError:
        """Why no job may be started now; `OK` if one may."""
        if self._heartbeat is not None and self._heartbeat.state in _ENDING:
            return MethodError.SHUTTING_DOWN
        if self.cause in {"golden_failed", "golden_overdue"}:
            return MethodError.NOT_PERMITTED_NOW
        if self._state()[0] is not MachineState.OPERATIONAL:
            return MethodError.NOT_READY
        is_free = self.automatic in {AutomaticState.READY, AutomaticState.SINGLE}
        return MethodError.OK if is_free else MethodError.NOT_READY

    def begin(self, at: float, *, part_id: str | None, meas_id: str, product_id: str, user: str) -> VisionJob:
        """A job is to go to the line; it counts from `at`, when its call came."""
        job = VisionJob(
            acquisition=self._number(), at=at, part_id=part_id, meas_id=meas_id, product_id=product_id,
            user=user,
        )  # fmt: skip
        self._parts.begin(job)
        self._untold[job.trigger_id] = None
        # The line may record a pass that comes here too late: none is told before its job has its result.
        told = _Told(reason_number("no_verdict"), ResultState.COMPLETED, is_late=False)
        self._remember(without_verdict(job.trigger_id), told)
        return job

    def wants(self, job: VisionJob) -> bool:
        """Whether nothing has ended a job yet."""
        return job in self._parts

    def overtake(self, by: VisionJob | None = None) -> bool:
        """A later part goes to the line: jobs from before it that the line has not answered come to nothing.

        The line may hear of them after it, and take a picture of the later part for one of theirs.

        Args:
            by: the later part's job; None: it has none, and is refused here.

        Returns:
            Whether there were any that the line is to be told of: of each part once, and never after a later
            one, whose picture it could be given else.
        """
        if by is not None and by.trigger_id not in self._untold:
            return False  # it was overtaken itself, and all from before it
        until = None if by is None else by.trigger_id
        before = list(takewhile(lambda name: name != until, self._untold))
        for job in self._parts.unanswered(by):
            self.drop(job)
        for name in before:
            self._untold.pop(name, None)
        return bool(before)

    def end(self, job: VisionJob) -> bool:
        """A job that may not have been sent comes to nothing; whether the line is to be told of its part."""
        is_untold = job.trigger_id in self._untold
        self.overtake(job)
        self.drop(job)
        return is_untold

    def accepted(self, job: VisionJob, answer: Accepted) -> bool:
        """The line took it; False if the job is none any more."""
        self.counts["trigger", "accepted"] += 1
        self._untold.pop(job.trigger_id, None)
        is_wanted = self._parts.accepted(job, answer)
        if not is_wanted:
            self.drop(job)
        return is_wanted

    def refused(self, job: VisionJob, reason: str) -> None:
        """The line did not take it."""
        self.counts["trigger", reason] += 1
        self.drop(job)

    def drop(self, job: PlantTrigger) -> None:
        """It comes to nothing, and gets no result; the line may judge its part all the same."""
        self._parts.drop(job)
        self._untold.pop(job.trigger_id, None)
        told = _Told(reason_number("no_verdict"), ResultState.ABORTED, is_late=True)
        self._remember(without_verdict(job.trigger_id), told)

    def as_told(self, recorded: VisionResult) -> VisionResult:
        """A recorded result; a pass that clients were told as none, or not told yet, is none here either.

        A thread that reads the journal calls it, too: it looks at nothing but one entry of a dict.
        """
        if recorded.judgement is not Judgement.PASS:
            return recorded
        told = self._undecided.get(recorded.result_id)
        told = told or self._undecided.get(without_verdict(recorded.job_id))
        if told is None:
            return recorded
        return msgspec.structs.replace(
            recorded, judgement=Judgement.UNDECIDABLE, reason=told.reason, state=told.state,
            is_late=told.is_late,
        )  # fmt: skip

    def begin_continuous(self) -> str:
        """An endless job begins: its JobId."""
        self._continuous = f"ua-{self._number():016x}"
        return self._continuous

    def end_continuous(self) -> bool:
        """The endless job ends; False if there was none, or if the settings want it."""
        was = bool(self._continuous)
        if was:
            self._continuous = "" if self._is_continuous_always else None
        return was

    def abort(self, now: float, utc_ns: int) -> None:
        """Every job ends without a judgement."""
        self._abandon(now, utc_ns, ResultState.ABORTED)
        self.end_continuous()

    def halt(self, now: float, utc_ns: int) -> None:
        """No job is taken until `reset`."""
        self.abort(now, utc_ns)
        self._is_halted = True

    def reset(self) -> None:
        """Out of `Halted`."""
        self._is_halted = False

    def saw_view(self, verdict: Verdict, now: float) -> None:
        """A view was judged: of a part, or of a camera that runs freely."""
        if verdict.trigger_id is not None:
            self._parts.saw_view(verdict)
            self._views[verdict.epoch, verdict.seq] = verdict
            if len(self._views) > _MOST_VIEWS:
                del self._views[next(iter(self._views))]
        else:
            started = verdict.captured_utc_ns or verdict.decided_utc_ns
            self._tell_continuous(verdict, started, now)

    def saw_part(self, verdict: PartVerdict, now: float) -> None:
        """A part was judged."""
        if self._parts.knows(verdict.trigger_id):
            self._parts.saw_part(verdict, now)
        else:
            self._tell_continuous(verdict, verdict.triggered_utc_ns, now)

    def _tell_continuous(self, verdict: Verdict | PartVerdict, started_utc_ns: int, now: float) -> None:
        if self._continuous is None or self._is_halted:
            return
        is_old = True  # what cannot be known to be in time is late
        if self._heartbeat is not None and self._ahead_ns is not None:
            line_utc_ns = self._ahead_ns + round(now * 1e9)
            is_old = line_utc_ns > started_utc_ns + verdict.deadline_ms * 1e6
        named = verdict.views if isinstance(verdict, PartVerdict) else []
        views = [found for view in named if (found := self._views.get((verdict.epoch, view.seq))) is not None]
        # By its trigger's own name: a part whose job was aborted, or refused, passes under no other.
        result = self.as_told(result_of_verdict(verdict, views, is_old=is_old))
        if self._continuous:
            result = msgspec.structs.replace(result, job_id=self._continuous)
        self._results.append(self._counted(result))

    def _state(self) -> tuple[MachineState, str]:
        if self._is_halted:
            return MachineState.HALTED, "halted"
        if self._heartbeat is None:
            return self._unheard
        if self._heartbeat.state != LineState.RUNNING:
            return MachineState.PREOPERATIONAL, self._heartbeat.state
        failed = [each.condition for each in self._heartbeat.conditions if each.condition in _FAILED]
        if failed:
            return MachineState.ERROR, failed[0]
        cameras = self._heartbeat.cameras
        if cameras and all(phase in _NO_PICTURES for phase in cameras.values()):
            return MachineState.ERROR, "camera_down"
        return MachineState.OPERATIONAL, ""

    def _abandon(self, now: float, utc_ns: int, state: ResultState) -> None:
        for job in self._parts.abandon():
            result = PartResult(
                trigger=job, judgement=Judgement.UNDECIDABLE, reason=reason_number("no_verdict"), at=now,
                is_late=True,
            )  # fmt: skip
            told = msgspec.structs.replace(result_of_job(result, utc_ns), state=state)
            self._results.append(self._counted(told))

    def _counted(self, result: VisionResult) -> VisionResult:
        self.counts["result", result.judgement.name.lower()] += 1
        if result.judgement is Judgement.UNDECIDABLE:
            self._remember(result.result_id, _Told(result.reason, result.state, result.is_late))
        of_job = without_verdict(result.job_id)
        if result.result_id != of_job:  # from now on it is known by its verdict
            self._undecided.pop(of_job, None)
        return result

    def _remember(self, result_id: str, told: _Told) -> None:
        self._undecided[result_id] = told
        if len(self._undecided) > MOST_UNDECIDED:
            del self._undecided[next(iter(self._undecided))]

    def _number(self) -> int:
        number, self._next = self._next, (self._next + 1) % 2**64
        return number
