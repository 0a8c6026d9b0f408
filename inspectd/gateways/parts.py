"""Parts under way through a gateway: from the plant's trigger to the result it may act on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import msgspec

from inspectd.gateways.registers import number_of, value_of
from inspectd.wire import Accepted, Evaluation, PartVerdict, Reason, TriggerRequest, Verdict
from inspectd.wire.numbers import reason_number

GRACE_SECONDS: Final = 0.15
"""So long after its deadline a part's verdict is waited for, which says why it is none: the line gives one
at most 100 ms after it. A pass that comes then is none."""

_MOST_VIEWS: Final = 64


class Judgement(IntEnum):
    """A result's evaluation as a number; 0 where there is no result."""

    NONE = 0
    PASS = 1
    FAIL = 2
    UNDECIDABLE = 3


JUDGEMENTS: Final = {
    Evaluation.PASS: Judgement.PASS,
    Evaluation.FAIL: Judgement.FAIL,
    Evaluation.UNDECIDABLE: Judgement.UNDECIDABLE,
}


class PlantTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger as the plant gave it.

    Attributes:
        acquisition: number the gateway gave it, which the plant is told.
        at: when it came, seconds on the gateway's clock.
        plant_id: the plant's own number of it; 0: it has none.
        number: of the fast hand-shake; 0: it came by the bit.
        part_id: the plant's name for the part.
        encoder_count: the belt's position; None: the plant gives none.
        recipe: name of the recipe; None: the one in force.
        deadline_ms: None: the line's.
    """

    acquisition: int
    at: float
    plant_id: int = 0
    number: int = 0
    part_id: str | None = None
    encoder_count: int | None = None
    recipe: str | None = None
    deadline_ms: float | None = None
    golden: str | None = None

    @property
    def trigger_id(self) -> str:
        """Its name on the bus, which comes again for no other part, whatever the plant counts."""
        return f"{self.plant_id}-{self.acquisition}" if self.plant_id else f"{self.acquisition}"

    @property
    def request(self) -> TriggerRequest:
        """What is sent to the line."""
        return TriggerRequest(
            self.trigger_id,
            part_id=self.part_id,
            encoder_count=self.encoder_count,
            recipe=self.recipe,
            deadline_ms=self.deadline_ms,
            golden=self.golden,
        )


class RefusedPart(msgspec.Struct, frozen=True):
    """A trigger that the gateway refused by itself: its part may be there, so the line is told."""


def trigger_of(
    control: Sequence[int], recipes: Mapping[int, str], acquisition: int, now: float, *, number: int,
    golden: str | None = None,
) -> PlantTrigger | str:  # fmt: skip
    """The trigger that a control block describes; or why there is none, as `wire.numbers` knows it.

    Args:
        control: the block's words.
        recipes: names of recipes by number.
        acquisition: the number the trigger gets.
        now: when it came.
        number: of the fast hand-shake, or 0.
        golden: the golden part that was announced.
    """
    recipe = number_of(control, "trigger_recipe")
    if recipe and recipe not in recipes:
        return "recipe_number"
    text = value_of(control, "part_id")
    assert isinstance(text, bytes)
    part_id = text.rstrip(b"\0 ").decode("latin-1")
    if not (part_id.isascii() and part_id.isprintable()):
        return "part_id"
    return PlantTrigger(
        acquisition=acquisition,
        at=now,
        plant_id=number_of(control, "trigger_id"),
        number=number,
        part_id=part_id or None,
        encoder_count=number_of(control, "encoder_count") or None,
        recipe=recipes.get(recipe),
        deadline_ms=number_of(control, "deadline_ms") or None,
        golden=golden,
    )


class PartResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an accepted trigger.

    Attributes:
        trigger: which one.
        judgement: `PASS` only as long as the plant may act on it.
        reason: number of the reason, `wire.numbers`.
        at: when it came, seconds on the gateway's clock.
        recipe: name of what judged it; None: several.
        verdict: the line's; None: there was none in time.
        view: the verdict that decided it; None: it was not heard.
        is_late: it came after its deadline, by the line's clock or the gateway's.
    """

    trigger: PlantTrigger
    judgement: Judgement
    reason: int
    at: float
    recipe: str | None = None
    verdict: PartVerdict | None = None
    view: Verdict | None = None
    is_late: bool = False

    @property
    def without_pass(self) -> PartResult:
        """The same, of which a pass was not fetched in time."""
        return msgspec.structs.replace(
            self, judgement=Judgement.UNDECIDABLE, reason=reason_number("not_fetched")
        )


@dataclass
class _Open:
    trigger: PlantTrigger
    answer: Accepted | None = None
    heard: tuple[PartVerdict, float] | None = None
    """Its verdict, and when it came; it may overtake the answer."""
    views: dict[str, Verdict] = field(default_factory=dict)


class PartsUnderWay:
    """Triggers without a result, and the rule by which a verdict becomes one.

    A part has a result when its trigger was accepted and the verdict with the `trigger_id`, `epoch` and
    `triggered_utc_ns` of that acknowledgement came, or its time is over. It passes only if that verdict is
    a pass, not late, and came within the deadline counted from the plant's trigger by the gateway's clock.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def __len__(self) -> int:
        """Number of triggers that have no result yet."""
        return len(self._open)

    def __contains__(self, trigger: PlantTrigger) -> bool:
        """Whether it has no result yet and is wanted."""
        return trigger.trigger_id in self._open

    def begin(self, trigger: PlantTrigger) -> None:
        """A trigger goes to the line."""
        self._open[trigger.trigger_id] = _Open(trigger)

    def drop(self, trigger: PlantTrigger) -> None:
        """It was not taken, or the plant does not want it any more: it gets no result."""
        self._open.pop(trigger.trigger_id, None)

    def drop_number(self, number: int) -> None:
        """Drop those that have this number of the fast hand-shake."""
        for part in [part for part in self._open.values() if part.trigger.number == number]:
            self.drop(part.trigger)

    def unanswered(self, before: PlantTrigger | None = None) -> list[PlantTrigger]:
        """Those that the line has not answered yet; with `before`, of those that began before it.

        Of one that is not any more nobody knows which began before it, and a later part is none of them.
        """
        if before is not None and before not in self:
            return []
        found = []
        for part in self._open.values():
            if before is not None and part.trigger.trigger_id == before.trigger_id:
                break
            if part.answer is None:
                found.append(part.trigger)
        return found

    def clear(self) -> None:
        """Drop all."""
        self._open.clear()

    def knows(self, trigger_id: str) -> bool:
        """Whether a trigger of this name has no result yet and is wanted."""
        return trigger_id in self._open

    def abandon(self) -> list[PlantTrigger]:
        """Drop all; those of them that the line has taken."""
        taken = [part.trigger for part in self._open.values() if part.answer is not None]
        self.clear()
        return taken

    def accepted(self, trigger: PlantTrigger, answer: Accepted) -> bool:
        """The line took it; False if it was dropped meanwhile."""
        part = self._open.get(trigger.trigger_id)
        if part is None:
            return False
        part.answer = answer
        if part.heard is not None and not _belongs(part.heard[0], answer):
            part.heard = None
        return True

    def saw_view(self, verdict: Verdict) -> None:
        """A view of a part was judged."""
        part = self._open.get(verdict.trigger_id or "")
        if part is not None and len(part.views) < _MOST_VIEWS:
            part.views[verdict.place] = verdict

    def saw_part(self, verdict: PartVerdict, now: float) -> None:
        """A part was judged; the first verdict that belongs to it counts."""
        part = self._open.get(verdict.trigger_id)
        if part is None or part.heard is not None:
            return
        if part.answer is None or _belongs(verdict, part.answer):
            part.heard = (verdict, now)

    def finished(self, now: float) -> list[PartResult]:
        """The results that there are by now, each of them once."""
        results = [result for part in self._open.values() if (result := _result(part, now)) is not None]
        for result in results:
            del self._open[result.trigger.trigger_id]
        return sorted(results, key=lambda result: result.at)


def _belongs(verdict: PartVerdict, answer: Accepted) -> bool:
    return (verdict.trigger_id, verdict.epoch, verdict.triggered_utc_ns) == (
        answer.trigger_id,
        answer.epoch,
        answer.received_utc_ns,
    )


def _result(part: _Open, now: float) -> PartResult | None:
    if part.answer is None:
        return None
    due = part.trigger.at + part.answer.deadline_ms / 1000
    if part.heard is None:
        if now <= due + GRACE_SECONDS:
            return None
        return PartResult(
            trigger=part.trigger, judgement=Judgement.UNDECIDABLE, reason=reason_number("no_verdict"), at=now,
            recipe=part.answer.recipe, is_late=True,
        )  # fmt: skip
    verdict, at = part.heard
    is_late = verdict.late or at > due
    judgement, reason = JUDGEMENTS[verdict.evaluation], verdict.reason
    if judgement is Judgement.PASS and is_late:
        judgement, reason = Judgement.UNDECIDABLE, Reason.DEADLINE
    return PartResult(
        trigger=part.trigger, judgement=judgement, reason=reason_number(reason), at=at,
        recipe=part.answer.recipe, verdict=verdict, view=_deciding(part, verdict), is_late=is_late,
    )  # fmt: skip


def _deciding(part: _Open, verdict: PartVerdict) -> Verdict | None:
    """The first view with the part's evaluation, whose reason is the part's."""
    for view in verdict.views:
        if view.evaluation is verdict.evaluation:
            heard = part.views.get(view.place)
            return heard if heard is not None and heard.seq == view.seq else None
    return None
