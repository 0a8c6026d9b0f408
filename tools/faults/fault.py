"""Records of a fault: its declaration, its context and its outcome."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faults.parts import Bank

_VIOLATIONS_KEPT: Final = 20


@dataclass
class Outcome:
    """Result of one fault: number of injections, violations, and measurements."""

    injected: int = 0
    violations: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    """Counts that figures are made of, where a fault takes several lines."""

    def demand(self, problems: Iterable[str]) -> int:
        """Add violations; their number."""
        found = list(problems)
        self.violations += found[:_VIOLATIONS_KEPT]
        if len(found) > _VIOLATIONS_KEPT:
            self.violations.append(f"and {len(found) - _VIOLATIONS_KEPT} more of these")
        return len(found)

    def require(self, condition: object, otherwise: str) -> None:
        """Add one violation unless the condition holds."""
        if not condition:
            self.violations.append(otherwise)


@dataclass(frozen=True)
class Context:
    """Folder, count and other inputs of a fault."""

    folder: Path
    bank: Bank
    count: int
    random: random.Random
    advance: Callable[[], None]
    """Called once for each injection: it moves the progress bar."""


@dataclass(frozen=True)
class Fault:
    """One entry of the suite."""

    name: str
    what: str
    must_hold: str
    full: int
    """Injections of the full run."""
    short: int
    """Injections of the form that the ordinary tests run."""
    run: Callable[[Context], Outcome]
    needs: Callable[[], str | None] = lambda: None
    """Description of what is missing on this machine; None when nothing is."""


def percentiles(values: Iterable[float], unit: str, digits: int = 1) -> str:
    """Median, 99th percentile and maximum, as the table shows them."""
    ordered = sorted(values)
    if not ordered:
        return "none"
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    middle = ordered[len(ordered) // 2]
    shown = f"p50 {middle:.{digits}f}, p99 {p99:.{digits}f}, max {ordered[-1]:.{digits}f}"
    return f"{shown} {unit} (n={len(ordered)})"
