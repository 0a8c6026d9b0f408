"""Options of scoring, and the pipeline they resolved to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inspectd.model.score import Scoring

Backend = Literal["auto", "torch", "openvino"]
BackbonePrecision = Literal["auto", "float32", "bfloat16"]
Search = Literal["auto", "exact", "flat"]


@dataclass(frozen=True)
class ScoringOptions:
    """Options of scoring; scores are the same up to rounding, except that `bfloat16` shifts them.

    Attributes:
        backend: `torch`, the reference; `openvino`, the fast one on a CPU; `auto`: the fastest there is,
            on CUDA half precision and recorded graphs.
        precision: of the backbone on a CPU; `auto` is float32, the precision thresholds are found with.
        search: for neighbours, of the fast backends; `exact` measures every distance, `auto` on a CPU no more
            than an image's score depends on; `flat` is faiss on CUDA.
        threads: CPU threads of this process; 0: one per core.
    """

    backend: Backend = "auto"
    precision: BackbonePrecision = "auto"
    search: Search = "auto"
    threads: int = 0


@dataclass(frozen=True)
class Loaded:
    """A pipeline and how it computes; see `ScorerInfo`."""

    pipeline: Scoring
    device: str
    backend: str
    precision: str
    search: str
