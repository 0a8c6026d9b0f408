"""Which counts, kept by steps of time, make up a span. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """A time that is whole steps."""

    step_ms: int
    from_ms: int
    to_ms: int


def pieces(from_ms: int, to_ms: int, steps: Sequence[int]) -> list[Piece]:
    """Times in order that together are the span, each of the longest steps that fit into it.

    Steps are of UTC, and a plant's day is none of theirs: by the longest alone, what lies up to six hours
    before and after the span would be counted with it. Only at both ends it is widened, to the shortest.

    Args:
        from_ms: where it begins.
        to_ms: where it ends, later.
        steps: lengths, the shortest first; each is a whole number of those before it.
    """
    *shorter, step = steps
    if not shorter:
        return [Piece(step, from_ms - from_ms % step, -(-to_ms // step) * step)]
    first, end = -(-from_ms // step) * step, to_ms - to_ms % step
    if first >= end:
        return pieces(from_ms, to_ms, shorter)
    before = pieces(from_ms, first, shorter) if from_ms < first else []
    after = pieces(end, to_ms, shorter) if end < to_ms else []
    return [*before, Piece(step, first, end), *after]
