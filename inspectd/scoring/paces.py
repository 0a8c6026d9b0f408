"""How fast a scorer is on this machine, and whether that is fast enough to be told from one that hangs."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from inspectd.backends.scorer import Scorer
from inspectd.errors import UnavailableError
from inspectd.records import Pace

_TRIALS: Final = 3
_NEAR: Final = 0.5
"""Of the time-out: a machine that is twice as busy takes all of it."""


def measured_pace(recipe: str, scorer: Scorer, max_batch: int) -> Pace:
    """The least time of a few blank images, alone and as a full batch; a disturbance only ever adds to it."""
    info = scorer.info
    blank = np.zeros((info.input_height, info.input_width, 3), np.uint8)

    def milliseconds(size: int) -> float:
        spent = []
        for _ in range(_TRIALS):
            began = time.perf_counter()
            scorer.score([blank] * size)
            spent.append(1e3 * (time.perf_counter() - began))
        return min(spent)

    one_ms = milliseconds(1)
    return Pace(recipe, one_ms, max_batch * one_ms if scorer.is_one_by_one else milliseconds(max_batch))


def admit_pace(pace: Pace, bank: str, stall_timeout_ms: float, *, is_one_by_one: bool) -> None:
    """Refuse a bank that is silent for so long as it scores that it would count as hung, each time anew.

    Args:
        pace: what was measured of it.
        bank: its file, for the message.
        stall_timeout_ms: time without an answer after which a scoring process is replaced.
        is_one_by_one: whether each frame of a batch is answered as soon as it is scored.

    Raises:
        UnavailableError: it takes longer than that, now: a machine that is less busy may be fast enough.
    """
    if _silent(pace, is_one_by_one=is_one_by_one)[0] >= stall_timeout_ms:
        raise UnavailableError(f"bank {bank}: {_told(pace, stall_timeout_ms, is_one_by_one=is_one_by_one)}")


def near_stall(pace: Pace, stall_timeout_ms: float, *, is_one_by_one: bool) -> str | None:
    """What to do about a bank that takes more than half of the time after which it would count as hung.

    It does so wherever the machine is twice as busy as it was when it was measured, and its parts are then
    lost, undecidable.

    Args:
        pace: what was measured of it.
        stall_timeout_ms: as for `admit_pace`.
        is_one_by_one: the same.

    Returns:
        The warning, for people; None: it is faster.
    """
    if _silent(pace, is_one_by_one=is_one_by_one)[0] <= _NEAR * stall_timeout_ms:
        return None
    return _told(pace, stall_timeout_ms, is_one_by_one=is_one_by_one)


def _silent(pace: Pace, *, is_one_by_one: bool) -> tuple[float, str, str]:
    """How long it answers nothing, in milliseconds, of what, and what makes that less."""
    if is_one_by_one:
        return pace.one_ms, "one image", ""
    return pace.full_ms, "a full batch", " or a smaller batching.max_batch"


def _told(pace: Pace, stall_timeout_ms: float, *, is_one_by_one: bool) -> str:
    silent_ms, what, less = _silent(pace, is_one_by_one=is_one_by_one)
    return (
        f"{what} takes {silent_ms:.0f} ms here, and a scoring process that answers nothing for "
        f"{stall_timeout_ms:g} ms is replaced: expected half of that at most, as a busy machine is slower; "
        f"set scoring.stall_timeout_ms to {1000 * -(-3 * silent_ms // 1000):g}, or take a faster bank{less}"
    )
