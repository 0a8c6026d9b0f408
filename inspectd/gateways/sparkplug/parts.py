"""Verdicts as rows of the device `parts`. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from inspectd.client import Evaluation, PartVerdict, Position, Verdict
from inspectd.gateways.sparkplug.payload import Value
from inspectd.wire.numbers import reason_number

_EVALUATIONS: Final = {Evaluation.PASS: 1, Evaluation.FAIL: 2, Evaluation.UNDECIDABLE: 3}
"""As OPC 40001-101 numbers them."""

_VIEWS_KEPT: Final = 1024
"""Views come right before their part; of a part with views of longer ago, nothing is told of them."""

_LONGEST_NS: Final = 660_000_000_000
"""No part has its verdict later after one of its views: the longest deadline and window of a line. One that
has none by then was lost."""


class PartRow(msgspec.Struct, frozen=True):
    """One part, as it is told.

    Attributes:
        values: by metric name.
        decided_utc_ns: when it was judged, by the line's clock.
    """

    values: dict[str, Value]
    decided_utc_ns: int


class PartRows:
    """Makes one row of each part: of a triggered part, or of a frame where nothing is triggered."""

    def __init__(self) -> None:
        self._views: OrderedDict[tuple[int, int], Verdict] = OrderedDict()
        self._newest: Verdict | PartVerdict | None = None

    @property
    def waits_from(self) -> Position | None:
        """Right before the oldest view whose part is to come: who begins anew has to read that view again."""
        for (epoch, seq), view in self._views.items():
            newest = self._newest
            assert newest is not None
            # Parts that a run left open are closed by the next one, without the views that had a verdict.
            if epoch == newest.epoch and newest.decided_utc_ns - view.decided_utc_ns <= _LONGEST_NS:
                return Position(epoch, seq - 1)
        return None

    def row(self, verdict: Verdict | PartVerdict) -> PartRow | None:
        """The row; None for a view, which is told with its part."""
        self._newest = verdict
        if isinstance(verdict, PartVerdict):
            views = [self._views.pop((verdict.epoch, view.seq), None) for view in verdict.views]
            return _part(verdict, [view for view in views if view is not None])
        if verdict.trigger_id is None:
            return _frame(verdict)
        self._views[verdict.epoch, verdict.seq] = verdict
        if len(self._views) > _VIEWS_KEPT:
            self._views.popitem(last=False)
        return None


def _part(part: PartVerdict, views: list[Verdict]) -> PartRow:
    """Of what its views know, that which is the same for all of them; the score is the worst view's."""
    values: dict[str, Value] = {
        **_common(part),
        "TriggerId": part.trigger_id,
        "PartId": part.part_id,
        "EncoderCount": part.encoder_count,
        "Views": ", ".join(f"{view.place}={view.evaluation}" for view in part.views),
        "Triggered": part.triggered_utc_ns // 1_000_000,
        "Recipe": _same([view.recipe for view in views]),
        "RecipeVersion": _same([view.recipe_version for view in views]),
        "BankSha256": _same([view.bank_sha256 for view in views]),
    }
    if len(views) == len(part.views):  # of an unknown view nobody can say that it is not the worst
        values |= _score(max(views, key=_score_share, default=None))
    return PartRow(values, part.decided_utc_ns)


def _frame(verdict: Verdict) -> PartRow:
    values: dict[str, Value] = {
        **_common(verdict),
        **_score(verdict),
        "Camera": verdict.place,
        "PartId": verdict.part_id,
        "EncoderCount": verdict.encoder_count,
        "Views": f"{verdict.place}={verdict.evaluation}",
        "Recipe": verdict.recipe,
        "RecipeVersion": verdict.recipe_version,
        "BankSha256": verdict.bank_sha256,
    }
    return PartRow(values, verdict.decided_utc_ns)


def _common(verdict: Verdict | PartVerdict) -> dict[str, Value]:
    return {
        "Evaluation": _EVALUATIONS[verdict.evaluation],
        "Reason": str(verdict.reason),
        "ReasonCode": reason_number(verdict.reason),
        "LatencyMs": verdict.latency_ms,
        "DeadlineMarginMs": verdict.deadline_margin_ms,
        "Late": verdict.late,
        "SecondLook": verdict.second_look,
        "Journaled": verdict.journaled,
        "Decided": verdict.decided_utc_ns // 1_000_000,
        "Epoch": verdict.epoch,
        "Seq": verdict.seq,
    }


def _score(view: Verdict | None) -> dict[str, Value]:
    if view is None or view.score is None:
        return {}
    return {"Camera": view.place, "Score": view.score, "Threshold": view.threshold}


def _score_share(view: Verdict) -> float:
    """How near the score is to the threshold; a view without a score says nothing of either."""
    return view.score / view.threshold if view.score is not None and view.threshold else float("-inf")


def _same(values: list[Value]) -> Value:
    """The value that all of them have, or None."""
    return values[0] if len(set(values)) == 1 else None
