"""How a bank is computed, and what came of loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from inspectd.model.score import Scoring


@dataclass(frozen=True)
class ScoringPath:
    """How to compute: the same scores up to rounding, whatever is chosen, except that `bfloat16` shifts them.

    Attributes:
        backend: `torch`, the reference; `openvino`, the fast one on a CPU; `auto`: the fastest there is,
            on CUDA half precision and recorded graphs.
        precision: of the backbone on a CPU; `auto` is float32, the precision thresholds are found with.
        search: `auto`, `exact`, `flat`, `ivf` or `hnsw`: how the fast paths find neighbours; the last two
            on a CPU only.
    """

    backend: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    search: Literal["auto", "exact", "flat", "ivf", "hnsw"] = "auto"


DEFAULT: Final = ScoringPath()


@dataclass(frozen=True)
class Loaded:
    """A pipeline and how it computes, in `BankInfo`'s words."""

    pipeline: Scoring
    device: str
    backend: str
    precision: str
    search: str
    search_recall: float | None
