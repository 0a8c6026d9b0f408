"""Options of scoring, and the pipeline they resolved to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inspectd.bank.file import BankFile
from inspectd.errors import BankError
from inspectd.model.score import Scoring

Backend = Literal["auto", "torch", "openvino"]
Search = Literal["auto", "exact", "flat"]


@dataclass(frozen=True)
class ScoringOptions:
    """Options of scoring; scores are the same up to rounding.

    Attributes:
        backend: `torch`, the reference; `openvino`, the fast one on a CPU; `auto`: the fastest there is,
            on CUDA half precision and recorded graphs.
        search: for neighbours, of the fast backends; `exact` measures every distance, `auto` on a CPU no more
            than an image's score depends on; `flat` is faiss on CUDA.
        threads: CPU threads of this process; 0: one per core.
    """

    backend: Backend = "auto"
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


def refuse_rounded(path: Path, bank: BankFile, reason: str) -> None:
    """Refuse a bank that was made in another precision than float32, as its threshold holds in that one only.

    Raises:
        BankError: it was; with what to do about it.
    """
    made = bank.manifest.precision
    if made != "float32":
        raise BankError(
            f"bank {path}: was made in {made}, but {reason}; make it again from its images: "
            f"inspectd bank convert {path} --images DIR --precision float32"
        )
