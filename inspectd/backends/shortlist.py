"""Number of rows a fast search proposes, for the caller to rerank in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SPARE: Final = 3
"""Candidates beyond the neighbours asked for: rounding orders near rows at random."""


@dataclass(frozen=True)
class Shortlist:
    """Find the `k` nearest rows among `k_candidates` proposed ones."""

    k: int
    k_candidates: int


def shortlist(k: int, rows: int) -> Shortlist:
    """A few candidates more than neighbours, as far as the bank has rows."""
    return Shortlist(min(k, rows), min(k + _SPARE, rows))
