"""Checks with golden parts on a running line: announces, collects and records them, and holds the interlock.

When a check is due is in `golden.schedule`, how one goes in `golden.check`, how every recipe stands in
`golden_standing`. What is here knows which frame and which trigger is of a golden part, and takes the line
out of service: `GoldenChecks.final` has the last word on every verdict before it is published.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from inspectd.alarms import EmitEvent
from inspectd.batching.judge import undecidable
from inspectd.config import Camera, Config
from inspectd.errors import InspectdError
from inspectd.golden.check import GoldenCheck
from inspectd.golden.results import FILE_NAME, CheckDue, CheckResult, GoldenLines, read_lines
from inspectd.golden.schedule import GoldenChange, GoldenSchedule, GoldenSubject
from inspectd.golden_pictures import CameraPictures, Files
from inspectd.golden_record import GoldenRecorder
from inspectd.golden_standing import GoldenStanding
from inspectd.line_audit import LineAudit, OfAudit, past_by_audit
from inspectd.metrics import Metrics
from inspectd.recipes.audit import FILE_NAME as AUDIT_NAME
from inspectd.recipes.book import RecipeBook, title_of
from inspectd.recipes.clerk import DiskClerk, nothing
from inspectd.recipes.line_file import camera_stamps_of
from inspectd.records import FrameRef, Inspection, Outcome, PendingView, Trigger
from inspectd.text import counted
from inspectd.wire import Evaluation, Reason
from inspectd.wire.golden import (
    GoldenAck,
    GoldenAction,
    GoldenOutcome,
    GoldenRecord,
    GoldenRefusal,
    GoldenRefusalReason,
    GoldenRequest,
    GoldenShowing,
    GoldenState,
    GoldenView,
)
from inspectd.wire.sync import GoldenStatus

_FRAME_NS: Final = 5_000_000_000
"""A free-running camera has so long to deliver a frame of a golden part, and scoring its deadline then."""
_SEVERITY: Final = {GoldenState.PASSED: "info", GoldenState.DUE: "warning"}

Reply = Callable[[GoldenAck | GoldenRefusal], None]


class _Showing(msgspec.Struct):
    """A golden part in front of the cameras, until all of them have judged it."""

    part: str
    until_ns: int | None
    """What has not come then does not come; None: its part's verdict ends it."""
    trigger_id: str | None = None
    awaited: dict[str, int] = {}
    """Free-running cameras whose next frame after this time is of it."""
    claimed: set[tuple[str, int, int]] = set()
    """Frames of it without a verdict, or regions of them: place, generation and number."""
    views: list[GoldenView] = []
    subjects: dict[str, GoldenSubject] = {}
    """What judged its views, by camera or `CAMERA/REGION`."""


class GoldenChecks:
    """The golden parts of a line.

    Args:
        config: the line's.
        book: what is in force.
        sha256_of: identifies what a key of the configuration file's recipes judges by; None: not known yet.
        judges: whether a scoring process is warm for a key now.
        clerk: writes the record.
        audit: has who ended which check how.
        publish: sends a record to the plant.
        emit: publishes events.
        metrics: has the states.
        epoch: of this start, for records.
        clock: monotonic, in nanoseconds.

    Raises:
        InputError: the record of earlier checks is no file.
        UnavailableError: it or the audit file cannot be read now.
    """

    def __init__(
        self,
        config: Config,
        book: RecipeBook,
        *,
        sha256_of: Callable[[str], str | None],
        judges: Callable[[str], bool],
        clerk: DiskClerk,
        audit: LineAudit,
        publish: Callable[[GoldenRecord], None],
        emit: EmitEvent,
        metrics: Metrics,
        epoch: Callable[[], int],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._parts = {part.name: part for part in config.golden.parts}
        self._book = book
        self._judges = judges
        self._audit = audit
        self._publish = publish
        self._emit = emit
        self._metrics = metrics
        self._epoch = epoch
        self._clock = clock
        self._places = {camera.name: list(camera.places) for camera in config.cameras}
        self._triggered = [
            place for camera in config.cameras if camera.mode == "triggered" for place in camera.places
        ]
        self._check: GoldenCheck | None = None
        self._began_utc_ns = 0
        self._began: tuple[str, str] = "", ""
        """The door by which the check was begun, and the state of its recipe then."""
        self._begun_by = ""
        self._outcome: GoldenOutcome | None = None
        self._problems: list[str] = []
        self.is_recording = False
        """The end of the last check is on its way to the disk."""
        self._showing: _Showing | None = None
        self._claimed: set[tuple[str, int, int]] = (
            set()
        )  # frames of golden parts without a verdict, whatever comes
        self._is_running = False
        self.is_on = bool(self._parts)
        """Whether the line has golden parts at all."""
        self._file = config.state_path / FILE_NAME if self.is_on else Path()
        self._recorder = GoldenRecorder(self._file, clerk, emit, clock)
        read = read_lines(self._file) if self.is_on else GoldenLines([], 0, 0, 0)
        self._unreadable = read.unreadable
        self._last = {each.recipe_sha256: each for each in read.checks}
        """The last check that is recorded of each version of a recipe, by its sha256."""
        self._failures: dict[str, list[str]] = {}
        """Why a version failed, by its sha256, until it passes: one that is broken off is not to hide it."""
        for each in read.checks:
            if each.outcome is GoldenOutcome.FAILED:
                self._failures[each.recipe_sha256] = each.problems
            elif each.outcome is GoldenOutcome.PASSED:
                self._failures.pop(each.recipe_sha256, None)
        self._earlier = past_by_audit(config.state_path / AUDIT_NAME, read) if self.is_on else OfAudit({})
        self._schedule = GoldenSchedule(config.golden, self._earlier.past)
        self._standing = GoldenStanding(config.golden.parts, book, sha256_of, self._schedule, clock)
        cameras = config.cameras if self.is_on else ()
        self._pictures = CameraPictures(cameras, camera_stamps_of(cameras))

    # --- the line's life -----------------------------------------------------------------------------------

    def start(self, newest_utc_ns: int | None) -> None:
        """The line begins to judge; `newest_utc_ns`: the latest time that it has recorded, if any."""
        if self.is_on:
            self._is_running = True
            self._audit.make_up_for(self._file)
            self._schedule.start(self._standing.subjects(), self._clock(), time.time_ns(), newest_utc_ns)
            in_force = self._standing.subjects()
            alike = self._pictures.alike(in_force, self._earlier.past, self._book.in_force.places)
            proven = [subject for subject in alike if self._earlier.is_as_it_passed(subject)]
            self._schedule.outdate_all_but(proven, self._clock())
            for subject in in_force:
                if subject.sha256 in self._earlier.lost:
                    detail = (
                        f"recipe {subject.recipe}: according to {AUDIT_NAME} its last check failed, but "
                        f"{FILE_NAME} has no record of it; parts are held until a check passes"
                    )
                    self._emit("alarm", "golden_not_recorded", detail=detail)
            if self._unreadable and set(self._standing.states()) != {GoldenState.PASSED}:
                detail = (
                    f"{counted(self._unreadable, 'line')} of {self._file} cannot be read: one may be of a "
                    "check that failed, so no pass before it counts; keep the file for whoever looks into "
                    "it, and do another check"
                )
                self._emit("warning", "golden_not_recorded", detail=detail)
            self._tell_of_none()
            self.turn(self._clock())

    def change_over(self) -> None:
        """Another recipe is in force."""
        if not self._is_running:
            return
        if self._check is not None and self._outcome is None:
            self._check.end()
            self._conclude(self._check, "another recipe was put in force")
        subjects = self._standing.subjects()
        is_left_alone = self._check is None or self._check.subject in subjects  # as by a reload of others
        if self._config.golden.at_changeover and not is_left_alone:
            self._recorder.outdate("another recipe was put in force before it was on the disk")
        for change in self._schedule.change_over(subjects, self._clock(), time.time_ns()):
            self._tell(change)
        self._tell_of_none()
        self.turn(self._clock())

    def change_cameras(self, cameras: Sequence[Camera], files: Files) -> None:
        """Pictures of these cameras are made otherwise from now on; `files`: by these."""
        if not self._is_running:
            return
        self._pictures.change(cameras, files)
        changed = {place for camera in cameras for place in self._places[camera.name]}
        if not changed:
            return
        judged = {place: self._standing.subject(key) for place, key in self._book.in_force.places.items()}
        # Others may judge these cameras too, where triggers name them, or once they come back.
        spared = set(judged.values()) - {judged[place] for place in changed}
        if self._check is not None and self._check.subject not in spared:
            if self._outcome is None:
                self._check.end()
                self._conclude(self._check, "a camera was changed")
            if self._config.golden.at_changeover:
                self._recorder.outdate("a camera was changed before it was on the disk")
        self._schedule.outdate_all_but(spared, self._clock())
        self.turn(self._clock())

    def turn(self, now_ns: int) -> None:
        """Tell of what became due or is overdue, and give up on what is not shown."""
        if not self._is_running:
            return
        for change in self._schedule.turn(now_ns, time.time_ns()):
            self._tell(change)
        self._recorder.turn(now_ns)
        showing = self._showing
        if showing is not None and showing.until_ns is not None and now_ns > showing.until_ns:
            self._finish(showing)
        check = self._check
        if check is not None and self._outcome is None and self._showing is None:
            check.turn(now_ns)
            if check.is_ended:
                self._conclude(check, "nothing was shown for too long")

    @property
    def is_writing(self) -> bool:
        """Whether something of a check is on its way to the disk."""
        return self.is_recording or self._recorder.is_writing

    def close(self) -> None:
        """The line ends, and its clerk next: try once more what the disk did not take."""
        self._recorder.close()

    def conditions(self) -> list[tuple[str, str]]:
        """Name and detail of what is wrong now, for the line's health."""
        return self._standing.conditions(self._failures) if self._is_running else []

    def status(self) -> list[GoldenStatus]:
        """How the check of every recipe in force stands that has golden parts."""
        check = self._check if self._outcome is None else None
        return self._standing.status(check, self._last, self._failures) if self._is_running else []

    # --- the last word on verdicts -------------------------------------------------------------------------

    def final(self, inspection: Inspection | PendingView, outcome: Outcome) -> Outcome:
        """What is published: of golden parts, and of any while the line is out of service, no judgement."""
        if not self.is_on:
            return outcome
        if self._is_golden(inspection):
            showing = self._showing_of(inspection)
            if showing is not None:  # else its check ended meanwhile; it stays a golden part
                self._see(showing, inspection, outcome)
            return undecidable(Reason.GOLDEN, outcome.decided_ns)
        subject = self._standing.subject(inspection.recipe)
        if inspection.trigger is None and self._stands_for_its_frame(inspection.frame, subject):
            self._schedule.count_part(subject.sha256)
        if outcome.evaluation is Evaluation.UNDECIDABLE:
            return outcome
        reason = self._schedule.reason(subject, self._clock(), time.time_ns())
        return outcome if reason is None else undecidable(Reason(reason), outcome.decided_ns)

    def claim(self, frame: FrameRef) -> None:
        """A frame came: it may be the golden part that somebody announced."""
        showing = self._showing
        if showing is None or frame.camera not in showing.awaited:
            return
        if frame.exposed.is_after(showing.awaited[frame.camera]):
            del showing.awaited[frame.camera]
            of_it = {(place, frame.generation, frame.seq) for place in self._places[frame.camera]}
            showing.claimed |= of_it
            self._claimed |= of_it

    def announce(self, part: str, trigger_id: str, who: str, door: str) -> str | None:
        """A trigger is of a golden part; why it cannot be taken, or None: `opened` or `drop` follows."""
        if self._showing is not None:
            return "the golden part before has no result yet"
        if part not in self._parts:
            names = ", ".join(self._parts) or "none is configured"
            return f"no golden part {part!r}, expected one of: {names}"
        refusal = None
        if self._check is None or self._outcome is not None:
            refusal = self._begin(trigger_id, self._parts[part].recipe, who, door, nameless="a trigger")
        if refusal is not None or self._check is None:
            return None if refusal is None else refusal[1]
        refusal = self._check.refusal(part)
        if refusal is not None:
            return refusal[1]
        self._showing = _Showing(part, None, trigger_id)
        return None

    def drop(self) -> None:
        """The trigger that was announced was refused for another reason; nor has it begun a check."""
        showing, check, self._showing = self._showing, self._check, None
        is_new = check is not None and self._outcome is None and not check.showings
        if is_new and showing is not None and check is not None and check.name == showing.trigger_id:
            check.end()
            self._conclude(check)

    def close_part(self, trigger: Trigger, recipes: Iterable[str]) -> None:
        """A triggered part has its verdict; `recipes`: the keys that its views were judged by."""
        showing = self._showing
        if showing is not None and showing.trigger_id == trigger.trigger_id:
            self._finish(showing)
        elif trigger.golden is None:
            for sha256 in {self._standing.subject(key).sha256 for key in recipes}:
                self._schedule.count_part(sha256)

    def _stands_for_its_frame(self, frame: FrameRef | None, subject: GoldenSubject) -> bool:
        """Whether its frame counts with it: of several regions that one recipe judges, with the first."""
        if frame is None or frame.region is None:
            return True
        places = self._book.in_force.places
        alike = [
            place for place in self._places[frame.camera] if self._standing.subject(places[place]) == subject
        ]
        return frame.place == (alike or [frame.place])[0]

    def _is_golden(self, inspection: Inspection | PendingView) -> bool:
        """Whether it is of a golden part; of a free-running camera's frame, or region, this is asked once."""
        if inspection.trigger is not None:
            return inspection.trigger.golden is not None
        frame = inspection.frame
        if frame is None or _identity(frame) not in self._claimed:
            return False
        self._claimed.remove(_identity(frame))
        return True

    def _showing_of(self, inspection: Inspection | PendingView) -> _Showing | None:
        showing = self._showing
        if showing is None:
            return None
        if inspection.trigger is not None:
            return showing if inspection.trigger.trigger_id == showing.trigger_id else None
        frame = inspection.frame
        return showing if frame is not None and _identity(frame) in showing.claimed else None

    def _see(self, showing: _Showing, inspection: Inspection | PendingView, outcome: Outcome) -> None:
        score = outcome.score
        showing.views.append(
            GoldenView(
                inspection.place, outcome.evaluation, str(outcome.reason),
                score.image_score if score else None, outcome.threshold, score.bank_sha256 if score else None,
            )
        )  # fmt: skip
        showing.subjects[inspection.place] = self._standing.subject(inspection.recipe)
        if inspection.trigger is None and inspection.frame is not None:
            showing.claimed.discard(_identity(inspection.frame))
            if not showing.claimed and not showing.awaited:
                self._finish(showing)

    # --- a check -------------------------------------------------------------------------------------------

    def take(self, request: GoldenRequest, who: str, door: str, reply: Reply) -> None:
        """Answer a request that `who` sent by `door`."""
        refusal: tuple[GoldenRefusalReason, str] | None = None
        if not self._is_running:
            refusal = GoldenRefusalReason.NOT_READY, "the line does not judge now"
            if not self.is_on:
                refusal = GoldenRefusalReason.OFF, "the settings have no golden parts"
        elif request.action is GoldenAction.BEGIN:
            refusal = self._asked_to_begin(request, who, door)
        elif request.action is GoldenAction.SHOW:
            refusal = self._show(request.part or "")
        elif request.action is GoldenAction.END:
            refusal = self._end(f"ended by {who or 'unknown'} ({door})")
        if refusal is not None:
            reply(GoldenRefusal(request.request, *refusal))
        else:
            reply(self._ack(request))

    def _asked_to_begin(
        self, request: GoldenRequest, who: str, door: str
    ) -> tuple[GoldenRefusalReason, str] | None:
        names = [each.recipe for each in self._standing.subjects()]
        if self._check is not None and self._outcome is None:
            what = f"check {self._check.name}, begun by {self._begun_by}"
            detail = f"{what}, is under way; `inspectd golden end` ends it"
            return GoldenRefusalReason.BUSY, detail
        if request.recipe is None and len(names) != 1:
            detail = f"name the recipe; in force with golden parts: {', '.join(names) or 'none'}"
            return GoldenRefusalReason.UNKNOWN_RECIPE, detail
        recipe = request.recipe or names[0]
        refusal = self._not_warm(recipe)
        return refusal or self._begin(request.request, recipe, who, door, nameless="unknown")

    def _not_warm(self, recipe: str) -> tuple[GoldenRefusalReason, str] | None:
        """Refuse to show a part that nothing would judge: after three of these its check has failed."""
        keys = [key for key in self._book.in_force.keys if title_of(key)[0] == recipe]
        if all(map(self._judges, keys)):
            return None
        return GoldenRefusalReason.NOT_READY, f"scoring is not ready for recipe {recipe}"

    def _begin(
        self, name: str, recipe: str, who: str, door: str, *, nameless: str
    ) -> tuple[GoldenRefusalReason, str] | None:
        subject = next((each for each in self._standing.subjects() if each.recipe == recipe), None)
        if subject is None:
            return GoldenRefusalReason.UNKNOWN_RECIPE, f"recipe {recipe!r} is not in force"
        places = [place for place, key in self._book.in_force.places.items() if title_of(key)[0] == recipe]
        judged = [place for place in places if place in self._triggered] or places
        if self.is_recording and self._check is not None:  # or what it proves could come after what fails
            return (
                GoldenRefusalReason.BUSY,
                f"the end of check {self._check.name} is being recorded; try again",
            )
        try:
            check = GoldenCheck(
                name, subject, self._config.golden.parts, judged, who=who, now_ns=self._clock()
            )
        except ValueError as error:
            return GoldenRefusalReason.OFF, str(error)
        self._check, self._outcome, self._problems = check, None, []
        self._begun_by = who or nameless
        self._began_utc_ns = time.time_ns()
        self._began = door, self._schedule.state(subject, self._clock(), self._began_utc_ns)
        return None

    def _show(self, part: str) -> tuple[GoldenRefusalReason, str] | None:
        if self._check is None or self._outcome is not None:
            return GoldenRefusalReason.NO_CHECK, "no check is under way; begin one"
        if self._showing is not None:
            return GoldenRefusalReason.BUSY, f"{self._showing.part} has no result yet"
        refusal = self._check.refusal(part)
        if refusal is not None:
            return refusal
        cameras = self._check.cameras(part)
        if any(camera in self._triggered for camera in cameras):
            detail = f"{part}: its cameras wait for a trigger with golden = {part!r}"
            return GoldenRefusalReason.TRIGGERED, detail
        refusal = self._not_warm(self._check.subject.recipe)
        if refusal is not None:
            return refusal
        now_ns = self._clock()
        longest_ns = max(self._book.deadline_ns(key) for key in self._book.in_force.places.values())
        awaited = dict.fromkeys((place.partition("/")[0] for place in cameras), now_ns)
        self._showing = _Showing(part, now_ns + _FRAME_NS + longest_ns, None, awaited)
        return None

    def _end(self, why: str) -> tuple[GoldenRefusalReason, str] | None:
        if self._check is None or self._outcome is not None:
            return GoldenRefusalReason.NO_CHECK, "no check is under way"
        if self._showing is not None:
            return GoldenRefusalReason.BUSY, f"{self._showing.part} has no result yet"
        self._check.end()
        self._conclude(self._check, why)
        return None

    def _finish(self, showing: _Showing) -> None:
        """All cameras have judged a golden part, or will not any more."""
        self._showing = None
        check = self._check
        if check is None or self._outcome is not None:
            return
        # Other cameras, and other regions of the same frame, may well judge by another recipe.
        judged = [showing.subjects.get(place, check.subject) for place in check.cameras(showing.part)]
        others = [subject for subject in judged if subject != check.subject]
        taken = check.take(
            showing.part, showing.views, others[0] if others else check.subject,
            now_ns=self._clock(), utc_ns=time.time_ns(), trigger_id=showing.trigger_id,
        )  # fmt: skip
        self._metrics.golden_showing(taken.agreement)
        if check.outcome is GoldenOutcome.FAILED:
            self._schedule.take_failure(check.subject.sha256)
        self._publish(self._record(check, showing=taken))
        if check.outcome is not None:
            check.end()
            self._conclude(check)

    def _conclude(self, check: GoldenCheck, why: str = "") -> None:
        """Record how a check ended; it has passed only once that is on the disk. `why`: it ended early."""
        outcome = check.outcome
        assert outcome is not None
        self._outcome, self._problems, self._showing = outcome, check.problems, None
        subject = check.subject
        result = CheckResult(
            time.time_ns(), self._began_utc_ns, check.name, check.who, subject.recipe, subject.version,
            subject.sha256, outcome, check.problems, check.showings,
            self._pictures.sha256_of(subject.recipe, self._book.in_force.places),
        )  # fmt: skip
        if outcome is GoldenOutcome.ABANDONED and not check.showings:
            self._on_ended(check, outcome)  # nobody could fill the disk with these
            return
        door, old = self._began
        audit = partial(
            self._audit.record_check, result, door=door, old=old, why="; ".join(check.problems) or why,
            is_default=subject.is_default,
        )  # fmt: skip
        self.is_recording = True
        self._recorder.write(
            result, f"check {check.name}: {outcome}",
            partial(self._on_recorded, check, result, audit),
            partial(self._on_not_recorded, check, outcome, audit),
        )  # fmt: skip
        if outcome is GoldenOutcome.FAILED:
            self._failures[subject.sha256] = check.problems
            self._publish(self._record(check, outcome=outcome))
            self.turn(self._clock())

    def _on_recorded(self, check: GoldenCheck, result: CheckResult, audit: Callable[..., None]) -> None:
        void_by = self._recorder.void_by if result.outcome is GoldenOutcome.PASSED else ""
        audit(problem=f"counts for nothing: {void_by}" if void_by else "")
        if void_by:  # as the next start will have it
            problems = [f"passed, but counts for nothing: {void_by}"]
            result = msgspec.structs.replace(result, outcome=GoldenOutcome.ABANDONED, problems=problems)
            self._outcome, self._problems = result.outcome, problems
        self._last[result.recipe_sha256] = result
        self._on_ended(check, result.outcome)

    def _on_ended(self, check: GoldenCheck, outcome: GoldenOutcome) -> None:
        self.is_recording = False
        self._metrics.golden_check(outcome)
        if outcome is GoldenOutcome.PASSED:
            self._schedule.take_pass(check.subject.sha256, self._clock(), time.time_ns())
            self._failures.pop(check.subject.sha256, None)
        if outcome is not GoldenOutcome.FAILED:
            self._publish(self._record(check, outcome=outcome))
        self.turn(self._clock())

    def _on_not_recorded(
        self, check: GoldenCheck, outcome: GoldenOutcome, audit: Callable[..., None], error: InspectdError
    ) -> None:
        audit(problem=f"not in {FILE_NAME}: {error}")
        if outcome is GoldenOutcome.PASSED:  # it changes nothing, then
            outcome = self._outcome = GoldenOutcome.ABANDONED
            self._problems = [f"passed, but not recorded: {error}"]
        self._on_ended(check, outcome)

    # --- what is told --------------------------------------------------------------------------------------

    def _tell_of_none(self) -> None:
        if none := self._standing.none():
            self._emit("warning", "golden_none", detail=none)

    def _tell(self, change: GoldenChange) -> None:
        """Publish that a recipe's state is another one, and record since when a check is due."""
        subject, state = change.subject, change.state
        self._metrics.golden_recipes(self._standing.states())
        # Its own, as `conditions` has them: the last check of this run may have been of another recipe.
        problems = "; ".join(self._failures.get(subject.sha256, ())) if state is GoldenState.FAILED else ""
        detail = f"recipe {subject.recipe}" + (f": {problems}" if problems else "")
        self._emit(_SEVERITY.get(state, "alarm"), f"golden_{state}", detail=detail)
        if state in {GoldenState.DUE, GoldenState.OVERDUE} and change.due_utc_ns is not None:
            due = CheckDue(max(0, change.due_utc_ns), subject.recipe, subject.version, subject.sha256)
            self._recorder.write(due, f"recipe {subject.recipe}: check due", nothing, nothing)

    def _record(
        self,
        check: GoldenCheck,
        *,
        showing: GoldenShowing | None = None,
        outcome: GoldenOutcome | None = None,
    ) -> GoldenRecord:
        line, subject = self._config.line, check.subject
        state = self._schedule.state(subject, self._clock(), time.time_ns())
        return GoldenRecord(
            line.plant, line.name, self._epoch(), time.time_ns(), check.name, subject.recipe, subject.version,
            subject.sha256, check.who, state, showing, outcome, self._problems if outcome else [],
        )  # fmt: skip

    def _ack(self, request: GoldenRequest) -> GoldenAck:
        check, recipes = self._check, self._standing.dues()
        if check is None:
            return GoldenAck(request.request, request.action, recipes, triggered=self._triggered)
        return GoldenAck(
            request.request, request.action, recipes, check.name, check.subject.recipe,
            None if self.is_recording and self._outcome is GoldenOutcome.PASSED else self._outcome,
            self._problems, [] if self._outcome else check.to_show, len(check.showings),
            check.showings[-1] if check.showings else None, self._triggered, check.who,
        )  # fmt: skip


def _identity(frame: FrameRef) -> tuple[str, int, int]:
    return frame.place, frame.generation, frame.seq
