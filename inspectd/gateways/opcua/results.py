"""What clients are told of a part, from whatever the line said of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import msgspec

from inspectd.gateways.parts import JUDGEMENTS, Judgement, PartResult, PlantTrigger
from inspectd.wire import PartVerdict, Reason, Verdict
from inspectd.wire.numbers import REASON_NUMBERS, reason_number

_REASONS: Final = {number: reason for reason, number in REASON_NUMBERS.items()}


class ResultState(IntEnum):
    """How far the work on a result came (OPC 40100-1); it never says how good a part is."""

    COMPLETED = 1
    ABORTED = 3


class VisionJob(PlantTrigger, frozen=True, kw_only=True):
    """A part that a client had inspected.

    Attributes:
        meas_id: the client's name for the measurement, comes back with the result.
        product_id: likewise for the product.
        user: who asked.
    """

    meas_id: str = ""
    product_id: str = ""
    user: str = ""

    @property
    def trigger_id(self) -> str:
        """Its name on the bus and its JobId, which comes again for no other part."""
        return f"ua-{self.acquisition:016x}"


class VisionResult(msgspec.Struct, frozen=True, kw_only=True):
    """One result as clients get it.

    Attributes:
        result_id: `EPOCH:SEQ` of its verdict; `none:JOB` where the line gave none in time.
        job_id: of a job of this gateway its id, of others the trigger's; of an endless job that job's.
        judgement: `PASS` only of a part that passed and was in time.
        reason: number of the reason, `wire.numbers`.
        recipe: name of the recipe; empty: not known, or several.
        version: its version in the store.
        created_utc_ns: when it was decided.
        started_utc_ns: when the part was triggered or captured.
        latency_ms: None: there was no verdict.
        margin_ms: likewise.
        score: of the view that decided.
        threshold: likewise.
    """

    result_id: str
    job_id: str
    judgement: Judgement
    reason: int
    created_utc_ns: int
    started_utc_ns: int
    part_id: str = ""
    meas_id: str = ""
    product_id: str = ""
    recipe: str = ""
    version: int | None = None
    state: ResultState = ResultState.COMPLETED
    is_late: bool = False
    is_simulated: bool = False
    latency_ms: float | None = None
    margin_ms: float | None = None
    score: float | None = None
    threshold: float | None = None

    @property
    def details(self) -> str:
        """The reason as a word."""
        return _REASONS.get(self.reason, "unknown")

    @property
    def recipe_version(self) -> str:
        """The recipe's name with its version, `ID@VERSION`, where it has one."""
        return self.recipe if self.version is None else f"{self.recipe}@{self.version}"


def without_verdict(job_id: str) -> str:
    """ResultId of a job without a verdict."""
    return f"none:{job_id}"


def result_of_job(result: PartResult, utc_ns: int) -> VisionResult:
    """Of a job of this gateway; `utc_ns` is now, for those without a verdict."""
    job, verdict = result.trigger, result.verdict
    assert isinstance(job, VisionJob)
    base = VisionResult(
        result_id=without_verdict(job.trigger_id), job_id=job.trigger_id, judgement=result.judgement,
        reason=result.reason, created_utc_ns=utc_ns, started_utc_ns=utc_ns, part_id=job.part_id or "",
        meas_id=job.meas_id, product_id=job.product_id, recipe=result.recipe or "", is_late=result.is_late,
    )  # fmt: skip
    if verdict is None:
        return base
    views = [] if result.view is None else [result.view]
    return msgspec.structs.replace(
        _of_part(verdict, views), judgement=result.judgement, reason=result.reason, is_late=result.is_late,
        meas_id=job.meas_id, product_id=job.product_id, recipe=result.recipe or "",
    )  # fmt: skip


def result_of_verdict(
    verdict: PartVerdict | Verdict, views: Iterable[Verdict] = (), *, is_old: bool = False
) -> VisionResult:
    """Of a part that somebody else triggered, of one that nobody triggered, or of one that is recorded.

    Args:
        verdict: the part's; or that of a camera that runs freely.
        views: those of a part's views that are at hand.
        is_old: it came after its time, so that a pass is none.
    """
    found = _of_part(verdict, views) if isinstance(verdict, PartVerdict) else _of_view(verdict)
    if found.judgement is Judgement.PASS and (is_old or found.is_late):
        deadline = reason_number(Reason.DEADLINE)
        found = msgspec.structs.replace(found, judgement=Judgement.UNDECIDABLE, reason=deadline, is_late=True)
    return found


def _of_part(part: PartVerdict, views: Iterable[Verdict]) -> VisionResult:
    at_hand = {(view.epoch, view.seq): view for view in views}
    seen = [found for view in part.views if (found := at_hand.get((part.epoch, view.seq))) is not None]
    recipes = {(view.recipe, view.recipe_version) for view in seen}
    recipe, version = recipes.pop() if len(recipes) == 1 else ("", None)
    deciding = next((view for view in seen if view.evaluation is part.evaluation), None)
    return VisionResult(
        result_id=f"{part.epoch}:{part.seq}", job_id=part.trigger_id, part_id=part.part_id or "",
        judgement=JUDGEMENTS[part.evaluation], reason=reason_number(part.reason), recipe=recipe,
        version=version, created_utc_ns=part.decided_utc_ns, started_utc_ns=part.triggered_utc_ns,
        is_late=part.late, is_simulated=part.reason is Reason.GOLDEN or any(_is_replayed(v) for v in seen),
        latency_ms=part.latency_ms, margin_ms=part.deadline_margin_ms,
        score=None if deciding is None else deciding.score,
        threshold=None if deciding is None else deciding.threshold,
    )  # fmt: skip


def _of_view(view: Verdict) -> VisionResult:
    return VisionResult(
        result_id=f"{view.epoch}:{view.seq}", job_id=view.trigger_id or "", part_id=view.part_id or "",
        judgement=JUDGEMENTS[view.evaluation], reason=reason_number(view.reason), recipe=view.recipe,
        version=view.recipe_version, created_utc_ns=view.decided_utc_ns,
        started_utc_ns=view.captured_utc_ns or view.decided_utc_ns, is_late=view.late,
        is_simulated=_is_replayed(view), latency_ms=view.latency_ms, margin_ms=view.deadline_margin_ms,
        score=view.score, threshold=view.threshold,
    )  # fmt: skip


def _is_replayed(view: Verdict) -> bool:
    return view.source is not None
