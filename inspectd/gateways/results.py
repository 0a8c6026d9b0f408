"""Results that wait for the plant, one shown at a time until it is acknowledged. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final

from inspectd.gateways.parts import Judgement, PartResult
from inspectd.gateways.registers import PASS_KEY, ResultBit, Value
from inspectd.wire import Reason

MOST_WAITING: Final = 8


class ResultBuffer:
    """The results that the plant has not acknowledged, the oldest first.

    With the bit hand-shake the next is shown when the acknowledgement has fallen; with the fast hand-shake as
    soon as the number of the one shown was written back.

    Args:
        pass_hold_seconds: a pass that is not fetched so long after it came is none any more.
    """

    def __init__(self, pass_hold_seconds: float) -> None:
        self._hold_seconds = pass_hold_seconds
        self._waiting: deque[PartResult] = deque()
        self._is_held = False
        """The acknowledgement of the one before is still up."""

    def __len__(self) -> int:
        """Number of results that wait, the one shown among them."""
        return len(self._waiting)

    @property
    def shown(self) -> PartResult | None:
        """What the plant may read."""
        return self._waiting[0] if self._waiting and not self._is_held else None

    def add(self, result: PartResult) -> bool:
        """Have a result wait; False if it is lost, as the plant lets too many wait: its part is a reject."""
        if len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting.append(result)
        return True

    def acknowledge(self) -> bool:
        """The acknowledgement rose; True if it was for a result that was shown."""
        was_shown = self.shown is not None
        if was_shown:
            self._waiting.popleft()
        self._is_held = True
        return was_shown

    def hold(self, *, is_held: bool) -> None:
        """Show nothing while an acknowledgement is up that was for no result; the next when it has fallen."""
        self._is_held = is_held

    def read_back(self, number: int) -> bool:
        """The plant wrote the low word of an InspectionID it read; True if that was the one shown."""
        if self.shown is None or self.shown.trigger.acquisition & 0xFFFF != number:
            return False
        self._waiting.popleft()
        return True

    def expire(self, now: float) -> int:
        """Take back passes that were not fetched in time; their number."""
        late = [
            index
            for index, result in enumerate(self._waiting)
            if result.judgement is Judgement.PASS and now > result.at + self._hold_seconds
        ]
        for index in late:
            self._waiting[index] = self._waiting[index].without_pass
        return len(late)

    def drop_number(self, number: int) -> None:
        """Forget those of parts that had this number of the fast hand-shake."""
        kept = [result for result in self._waiting if result.trigger.number != number]
        self._waiting = deque(kept)

    def clear(self) -> None:
        """Forget all of them; an acknowledgement that is up still has to fall."""
        self._waiting.clear()


def result_values(result: PartResult, numbers: Mapping[str, int]) -> dict[str, Value]:
    """The registers of a result; `numbers` are those of recipes, by name."""
    values: dict[str, Value] = {
        "inspection_id": result.trigger.acquisition,
        "result_trigger_id": result.trigger.plant_id,
        "result_number": result.trigger.number,
        "evaluation": result.judgement,
        "reason": result.reason,
        "result_recipe": numbers.get(result.recipe or "", 0),
    }
    bits = ResultBit.LATE if result.is_late else ResultBit(0)
    if result.judgement is Judgement.PASS:
        values["pass_key"] = result.trigger.acquisition & 0xFFFF ^ PASS_KEY
    verdict, view = result.verdict, result.view
    if verdict is not None:
        values |= {
            "latency": verdict.latency_ms * 10,
            "margin": verdict.deadline_margin_ms * 10,
            "epoch": verdict.epoch // 1000,
            "seq": verdict.seq,
        }
        bits |= ResultBit(0) if verdict.journaled else ResultBit.NOT_JOURNALED
        bits |= ResultBit.GOLDEN if verdict.reason is Reason.GOLDEN else ResultBit(0)
        bits |= ResultBit.SECOND_LOOK if verdict.second_look else ResultBit(0)
    if view is not None and view.score is not None and view.threshold is not None:
        score, threshold = _float32(view.score), _float32(view.threshold)
        values |= {"score": score, "threshold": threshold}
        bits |= ResultBit.HAS_SCORE
    return values | {"result": bits}


def _float32(value: float) -> float:
    """The nearest that 32 bits hold."""
    limit = 3.4028234663852886e38
    return min(max(value, -limit), limit) if math.isfinite(value) else 0.0
