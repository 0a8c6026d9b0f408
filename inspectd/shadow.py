"""Shadow: a second recipe scores the frames that were judged, and has no say.

A frame comes here when its verdict is made: what a shadow does cannot reach a verdict any more. Its own
process, the last to get processors and the first to lose memory, scores what the line has no other use for:
a slot is held for it only while its camera has enough of them, and no frame is taken while parts wait.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from inspectd.alarms import EmitEvent
from inspectd.batching.judge import is_like_the_banks, judge
from inspectd.config import Config
from inspectd.ipc.ring import FrameRing
from inspectd.ipc.slot_holds import SlotHolds, share_of
from inspectd.metrics import Metrics
from inspectd.recipes.book import FILE, LineRecipe, title_of
from inspectd.records import (
    UNSET,
    BankInForce,
    Batch,
    ClosedBy,
    FrameRef,
    Inspection,
    JudgedBy,
    Score,
    ScoreError,
)
from inspectd.scoring.messages import ScoringReady
from inspectd.scoring.pool import process_starts
from inspectd.scoring.stage import ScoringStage
from inspectd.supervisor import Supervisor
from inspectd.wire import Evaluation, Reason, Verdict
from inspectd.wire.shadow import UNJUDGED, ShadowResult, ShadowScore, ShadowState, ShadowStatus

PROCESS: Final = "shadow"
"""Name of its process in events and metrics."""

_MOST_AT_ONCE: Final = 4
"""Frames that the shadow has at once."""
_HOLD_NS: Final = 2_000_000_000
"""Longest that a slot is kept from its camera, where that has others."""
_ANSWER_NS: Final = 60_000_000_000
"""A process that gets no processor time for so long is taken for hung; a score may be as late."""
_LOAD_NS: Final = 600_000_000_000
_LONGEST: Final = 300
"""Characters of an event's detail."""
_TO_END: Final = "; this is told until another begins, or `inspectd recipe unshadow` ends it"
_REMEMBERED: Final = 1000
"""Scores whose quantiles are given."""
_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class ShadowOutlet(Protocol):
    """The line whose frames are scored."""

    def rings(self) -> list[tuple[str, FrameRing]]:
        """Every ring a frame may lie in, with its camera."""

    def publish_shadow(self, score: ShadowScore) -> None:
        """Send a score to whoever compares."""


class _Tally:
    """What came of the frames: counts since the beginning, quantiles of the last."""

    def __init__(self) -> None:
        self.frames: Counter[ShadowResult] = Counter()
        self.pairs: Counter[tuple[Evaluation, Evaluation]] = Counter()
        self._shares: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        self._behind_ms: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, score: ShadowScore) -> None:
        """Count a score."""
        self.frames[ShadowResult.SCORED] += 1
        self.pairs[score.verdict, score.evaluation] += 1
        self._behind_ms.append(score.behind_ms)
        if score.score is not None and score.threshold:
            verdict_share = score.verdict_score / score.verdict_threshold if score.verdict_threshold else 0.0
            self._shares.append((verdict_share, score.score / score.threshold))

    @property
    def undecidable(self) -> int:
        """Frames with a score that is not finite."""
        return sum(count for (_, shadow), count in self.pairs.items() if shadow is Evaluation.UNDECIDABLE)

    def quantiles(self) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        """Of the verdicts' shares, the shadow's shares, and the milliseconds from one to the other."""
        verdicts, shadows = zip(*self._shares, strict=True) if self._shares else ((), ())
        return _quantiles(verdicts), _quantiles(shadows), _quantiles(self._behind_ms)


class _Offered(msgspec.Struct):
    """A frame that the shadow has."""

    inspection: Inspection
    """As the shadow judges it."""
    verdict: Verdict
    since_ns: int


class _Run:
    """A shadow from its begin to its end."""

    def __init__(self, recipe: LineRecipe, against: LineRecipe, request: str, stage: ScoringStage) -> None:
        self.recipe = recipe
        self.against = against
        self.request = request
        self.stage = stage
        self.state = ShadowState.LOADING
        self.detail = ""
        self.since_utc_ns = time.time_ns()
        self.banks: dict[str, BankInForce] = {}
        self.offered: dict[int, _Offered] = {}
        self.tally = _Tally()

    def compares(self, key: str) -> bool:
        """Whether a frame that was judged under this key is of the same product."""
        name, version = title_of(key)
        if version is None:
            return self.against.id == FILE
        return name in {self.recipe.id, self.against.id}


class Shadow:
    """Has another recipe score the same frames, and compares.

    Args:
        config: the line's.
        line: gives the rings, takes the scores.
        release: gives a slot back to its camera.
        waiting: number of inspections that wait for scoring.
        supervisor: runs the process.
        command: the scoring process.
        metrics: counts.
        emit: publishes events.
        clock: monotonic, in nanoseconds.
    """

    def __init__(
        self,
        config: Config,
        line: ShadowOutlet,
        *,
        release: Callable[[FrameRef], None],
        waiting: Callable[[], int],
        supervisor: Supervisor,
        command: Sequence[str],
        metrics: Metrics,
        emit: EmitEvent,
        clock: Callable[[], int],
    ) -> None:
        self.holds = SlotHolds(release)
        """Batching's and evidence's slots go back through it."""
        self._config = config
        self._line = line
        self._waiting = waiting
        self._supervisor = supervisor
        self._command = command
        self._metrics = metrics
        self._emit = emit
        self._clock = clock
        self._slots = {camera.name: camera.slots for camera in config.cameras}
        self._last_id = 0
        self._run: _Run | None = None

    # --- its life ------------------------------------------------------------------------------------------

    def begin(self, recipe: LineRecipe, against: LineRecipe, request: str) -> None:
        """Load a recipe and score by it; another shadow ends.

        Args:
            recipe: the shadow.
            against: what is in force.
            request: whose answer `shadow_started` or `shadow_failed` is.

        Raises:
            UnavailableError: no process can be had.
        """
        self.end(f"{recipe.name} takes its place")
        scoring = self._config.scoring
        own = msgspec.structs.replace(scoring, device=(scoring.devices or (scoring.device,))[0], devices=())
        start = process_starts(own, recipe.recipes, 1, ())[0]
        start = msgspec.structs.replace(start, is_shadow=True)
        stage = ScoringStage(0, PROCESS, start, self, self._command)
        stage.start_timeout_ns, stage.stall_timeout_ns = _LOAD_NS, _ANSWER_NS
        self._supervisor.start(stage, self._clock(), once=True)
        self._run = _Run(recipe, against, request, stage)

    def end(self, why: str) -> None:
        """Score no more by the shadow, if there is one."""
        run, self._run = self._run, None
        if run is None:
            return
        self._stop(run)
        self._metrics.shadow(None)
        self._emit("info", "shadow_ended", detail=f"{run.recipe.name}: {why}; {_summary(run)}")

    def _stop(self, run: _Run) -> None:
        self._supervisor.stop(PROCESS)
        run.stage.let_go()
        self._give_up(run)

    def _give_up(self, run: _Run) -> None:
        for offered in run.offered.values():
            self.holds.end(offered.inspection.frame)
            self._count(run, ShadowResult.DOWN)
        run.offered.clear()

    def _fail(self, run: _Run, detail: str) -> None:
        self._stop(run)
        run.state, run.detail = ShadowState.FAILED, detail
        told = f"{run.recipe.name} ({run.request}): {detail}"
        self._emit("warning", "shadow_failed", detail=told[: _LONGEST - len(_TO_END)] + _TO_END)

    # --- what there is -------------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """`ID@VERSION` of the shadow; None: there is none."""
        return None if self._run is None else self._run.recipe.name

    @property
    def recipe(self) -> LineRecipe | None:
        """The shadow; None: there is none."""
        return None if self._run is None else self._run.recipe

    def conditions(self) -> list[tuple[str, str]]:
        """Name and detail of what is wrong with it."""
        run = self._run
        if run is None or run.state in {ShadowState.LOADING, ShadowState.RUNNING}:
            return []
        to_end = _TO_END if run.state is ShadowState.FAILED else ""
        return [("shadow_down", f"{run.recipe.name} is not scored: {run.detail}{to_end}")]

    def status(self) -> ShadowStatus | None:
        """All that is known of the comparison."""
        run = self._run
        if run is None:
            return None
        pairs = run.tally.pairs
        verdict_shares, shares, behind_ms = run.tally.quantiles()
        return ShadowStatus(
            run.recipe.name, run.against.name, run.since_utc_ns, run.state, run.detail,
            {str(result): count for result, count in run.tally.frames.items()},
            pairs[Evaluation.PASS, Evaluation.FAIL], pairs[Evaluation.FAIL, Evaluation.PASS],
            run.tally.undecidable, shares, verdict_shares, behind_ms,
        )  # fmt: skip

    # --- frames --------------------------------------------------------------------------------------------

    def use_slots(self, camera: str, slots: int) -> None:
        """A camera's next ring has so many slots."""
        self._slots[camera] = slots

    def attach(self, camera: str, ring: FrameRing) -> None:
        """Give its process a ring that frames will lie in."""
        if self._run is not None:
            self._run.stage.attach(camera, ring)

    def detach(self, camera: str, generation: int) -> None:
        """Take a ring back in which no frame lies any more."""
        if self._run is not None:
            self._run.stage.detach(camera, generation)

    def offer(self, inspection: Inspection, verdict: Verdict, free_slots: int, now_ns: int) -> None:
        """Score a frame that has just been judged, if that costs nobody anything; its slot is held then.

        Args:
            inspection: the frame's; its slot is not released yet.
            verdict: on it.
            free_slots: of its camera.
            now_ns: the time.
        """
        run = self._run
        if run is None or run.state in {ShadowState.LOADING, ShadowState.FAILED}:
            return
        if verdict.score is None or verdict.evaluation not in {Evaluation.PASS, Evaluation.FAIL}:
            return
        result = self._send(run, inspection, verdict, free_slots, now_ns)
        if result is not None:
            self._count(run, result)

    def _send(
        self, run: _Run, inspection: Inspection, verdict: Verdict, free_slots: int, now_ns: int
    ) -> ShadowResult | None:
        """Send a frame to be scored; the reason why not, or None."""
        frame = inspection.frame
        if not run.compares(inspection.recipe):
            return ShadowResult.OTHER_RECIPE
        if run.state is ShadowState.DOWN:
            return ShadowResult.DOWN
        key = run.recipe.places[frame.place]
        bank = run.banks[key]
        is_set = frame.camera_settings == run.recipe.camera_settings.get(frame.camera, UNSET)
        if not is_set or not is_like_the_banks(frame, bank):
            return ShadowResult.FORMAT if is_set else ShadowResult.CAMERA_SETTINGS
        share = share_of(self._slots[frame.camera])
        is_full = self.holds.count_of(frame.camera) >= share and not self.holds.holds_slot_of(frame)
        is_short = free_slots <= share or is_full
        if is_short or len(run.offered) >= _MOST_AT_ONCE or self._waiting():
            return ShadowResult.BUSY
        self._last_id += 1
        shadowed = msgspec.structs.replace(
            inspection,
            inspection_id=self._last_id,
            recipe=key,
            deadline_ns=now_ns + _ANSWER_NS,
            judged_by=JudgedBy(bank.bank_sha256, bank.threshold),
        )
        if not run.stage.send(Batch(self._last_id, key, [shadowed], ClosedBy.FULL)):
            return ShadowResult.DOWN
        run.offered[self._last_id] = _Offered(shadowed, verdict, now_ns)
        self.holds.hold(frame, now_ns)
        return None

    def relieve(self, camera: str, free_slots: int) -> None:
        """Give slots back to a camera that has few left: what it captures comes first."""
        if free_slots <= share_of(self._slots[camera]):
            for frame in self.holds.frames_of(camera):
                self.holds.end(frame)

    def tick(self, now_ns: int) -> None:
        """Give slots back that were held for long."""
        for frame in self.holds.older_than(_HOLD_NS, now_ns):
            self.holds.end(frame)

    def _count(self, run: _Run, result: ShadowResult) -> None:
        run.tally.frames[result] += 1
        self._metrics.shadow_frame(result)

    # --- what its process answers (scoring.stage.ScoringEvents) -------------------------------------------

    def rings(self) -> list[tuple[str, FrameRing]]:
        """See `ScoringEvents.rings`."""
        return self._line.rings()

    def on_scoring_ready(self, process: int, ready: ScoringReady) -> None:  # noqa: ARG002 - there is one
        """Score from now on, if its banks are those of the recipe."""
        run = self._run
        if run is None:
            return
        expected = run.recipe.banks
        changed = [bank for bank in ready.banks if expected.get(bank.recipe) not in {None, bank.bank_sha256}]
        if changed:
            told = ", ".join(f"{b.recipe} is {b.bank_sha256[:12]}..." for b in changed)
            self._fail(run, f"its bank is another than the recipe names: {told}; import it again")
            return
        run.banks = {bank.recipe: bank for bank in ready.banks}
        is_new, run.state, run.detail = run.state is ShadowState.LOADING, ShadowState.RUNNING, ""
        self._supervisor.keep(PROCESS)
        self._metrics.shadow(run.recipe.name)
        if is_new:
            detail = f"{run.recipe.name} ({run.request}): scores beside {run.against.name} on {ready.device}"
            self._emit("info", "shadow_started", detail=detail)

    def on_score(self, process: int, score: Score, now_ns: int) -> None:  # noqa: ARG002
        """Compare what the shadow makes of a frame with its verdict."""
        run = self._run
        offered = None if run is None else run.offered.pop(score.inspection_id, None)
        if run is None or offered is None:
            return
        inspection, verdict = offered.inspection, offered.verdict
        self.holds.end(inspection.frame)
        if score.flaw is not None:
            self._count(run, ShadowResult.QUALITY)
            return
        outcome = judge(inspection, score, now_ns)
        name, version = title_of(inspection.recipe)
        assert verdict.score is not None
        assert verdict.threshold is not None
        record = ShadowScore(
            plant=verdict.plant,
            line=verdict.line,
            camera=verdict.camera,
            epoch=verdict.epoch,
            seq=verdict.seq,
            inspection_id=verdict.inspection_id,
            trigger_id=verdict.trigger_id,
            part_id=verdict.part_id,
            recipe=name,
            recipe_version=version,
            bank_sha256=score.bank_sha256,
            score=score.image_score if math.isfinite(score.image_score) else None,
            threshold=outcome.threshold,
            evaluation=outcome.evaluation,
            behind_ms=(now_ns - offered.since_ns) / 1e6,
            verdict=verdict.evaluation,
            verdict_score=verdict.score,
            verdict_threshold=verdict.threshold,
            region=verdict.region,
        )
        run.tally.add(record)
        self._metrics.shadow_frame(ShadowResult.SCORED)
        self._metrics.shadow_score(record)
        self._line.publish_shadow(record)

    def on_score_error(self, process: int, error: ScoreError, now_ns: int) -> None:  # noqa: ARG002
        """Count a frame that was not scored."""
        run = self._run
        offered = None if run is None else run.offered.pop(error.inspection_id, None)
        if run is None or offered is None:
            return
        self.holds.end(offered.inspection.frame)
        is_gone = error.reason is Reason.FRAME_LOST
        self._count(run, ShadowResult.GIVEN_BACK if is_gone else ShadowResult.ERROR)

    def on_scoring_lost(self, process: int, cause: str, exit_code: int | None, now_ns: int) -> None:  # noqa: ARG002
        """Wait for the next process, or fail if it never was ready."""
        run = self._run
        if run is None:
            return
        if run.state is ShadowState.LOADING:
            self._fail(run, cause)
            return
        self._give_up(run)
        run.state, run.detail = ShadowState.DOWN, cause
        self._emit("warning", "shadow_lost", process=PROCESS, detail=f"{run.recipe.name}: {cause}")


def _summary(run: _Run) -> str:
    pairs, frames = run.tally.pairs, run.tally.frames
    unjudged = run.tally.undecidable + sum(frames[result] for result in UNJUDGED)
    return (
        f"{frames[ShadowResult.SCORED]} frames scored of {frames.total()}, it would have "
        f"failed {pairs[Evaluation.PASS, Evaluation.FAIL]} passes, passed "
        f"{pairs[Evaluation.FAIL, Evaluation.PASS]} fails and not judged {unjudged} frames"
    )


def _quantiles(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    if not ordered:
        return {}
    return {name: ordered[min(len(ordered) - 1, int(len(ordered) * p))] for name, p in _QUANTILES.items()}
