"""For `inspectd check`: deadlines and start-up times that this machine cannot keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inspectd.config import Recipe, ScoringSettings
from inspectd.records import Pace

_SHARE: Final = 0.5
"""Of what is allowed: while the line runs, a machine is as busy again."""


def slow_scoring(where: str, recipe: Recipe, line_deadline_ms: float, pace: Pace) -> Iterator[str]:
    """A deadline that scoring one image of a recipe takes more than half of, with nothing else to do.

    Args:
        where: the recipe's path in the configuration.
        recipe: the recipe.
        line_deadline_ms: of parts whose recipe sets none.
        pace: what was measured of its bank.
    """
    own = recipe.deadline_ms is not None
    deadline_ms = recipe.deadline_ms or line_deadline_ms
    if pace.one_ms <= _SHARE * deadline_ms:
        return
    never = pace.one_ms >= deadline_ms
    yield (
        f"{f'{where}.' if own else 'line.'}deadline_ms: is {deadline_ms:g} ms, and to score one image by "
        f"recipe {recipe.name} takes {pace.one_ms:.1f} ms of that here with nothing else to do: "
        f"{'every part' if never else 'on a busy machine parts'} would be undecidable; expected "
        f"{pace.one_ms / _SHARE:.0f} ms or more, or a faster bank (`inspectd bank tune`)"
    )


def slow_start(scoring: ScoringSettings, warmup_seconds: float) -> Iterator[str]:
    """A time-out of the start that loading the banks takes more than half of: they took `warmup_seconds`."""
    if warmup_seconds > _SHARE * scoring.start_timeout_seconds:
        yield (
            f"scoring.start_timeout_seconds: is {scoring.start_timeout_seconds:g} s, and to load the banks "
            f"took {warmup_seconds:.1f} s here: a scoring process that takes longer is ended and started "
            f"again, for ever; expected {warmup_seconds / _SHARE:.0f} s or more"
        )
