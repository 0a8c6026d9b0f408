"""Holds the fast path of a bank against the float32 torch reference, on labelled images.

    python tools/check_fast_path.py BANK DATA [--rounded BANK ...]

DATA is what `inspectd bank evaluate` takes. Prints one JSON object, and exits 1 where the image AUROC
differs by more than 0.001, or the score of one image in a hundred by more than 0.05 standard deviations of
good parts. Banks of the same images in another precision (`bank build --precision`) are scored beside it,
each with its own threshold; their image AUROC may be lower by 0.002. `backbone_times_as_fast` is the median
over the images.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from sklearn.metrics import roc_auc_score

from inspectd.backends.base import Search
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.images import read_image
from inspectd.evaluation.dataset import read_dataset

MOST_AUROC = 0.001
MOST_APART = 0.05
MOST_AUROC_ROUNDED = 0.002


@dataclass
class Scored:
    """The scores of one bank, and how long its backbone took for each image."""

    scorer: Scorer
    scores: list[float] = field(default_factory=list)
    backbone_ms: list[float] = field(default_factory=list)

    def facts(self, defective: Sequence[bool]) -> dict[str, Any]:
        """What it found at its own threshold, and how fast its backbone was."""
        info, failed = self.scorer.info, np.array(self.scores) > self.scorer.info.threshold
        return {
            "bank": [info.rows, info.dims],
            "precision": info.precision,
            "search": info.search,
            "image_auroc": round(float(roc_auc_score(defective, self.scores)), 5),
            "found": round(float(failed[np.array(defective)].mean()), 4),
            "false_rejects": round(float(failed[~np.array(defective)].mean()), 4),
            "backbone_ms": round(float(np.median(self.backbone_ms)), 2),
        }


def check(bank: Path, rounded: Sequence[Path], data: Path, search: Search) -> dict[str, Any]:
    fast, *others = (
        Scored(Scorer.load(path, "cpu", ScoringOptions("openvino", search))) for path in (bank, *rounded)
    )
    reference = Scored(Scorer.load(bank, "cpu", ScoringOptions("torch")))
    defective = []
    for image in track(read_dataset(data).images, "images", disable=not sys.stderr.isatty()):
        frame = read_image(image.path)
        if frame is None:
            continue
        defective.append(image.label != "good")
        for scored in (reference, fast, *others):  # in turn: all get the same share of a busy machine
            answer = scored.scorer.score([frame])[0]
            scored.scores.append(answer.image_score)
            scored.backbone_ms.append(answer.stage_ms["backbone"])
    differences = np.abs(np.subtract(fast.scores, reference.scores))
    p50, p99 = np.percentile(differences, [50, 99])
    facts, wanted = fast.facts(defective), reference.facts(defective)["image_auroc"]
    compared = [_compared(other, fast, defective) for other in others]
    return {
        "images": len(defective),
        **facts,
        "image_auroc_reference": wanted,
        "score_difference_p50": round(float(p50), 5),
        "score_difference_p99": round(float(p99), 5),
        "score_difference_max": round(float(differences.max()), 5),
        "rounded": compared,
        "passed": bool(
            abs(facts["image_auroc"] - wanted) <= MOST_AUROC
            and p99 <= MOST_APART
            and all(one["image_auroc_lower_by"] <= MOST_AUROC_ROUNDED for one in compared)
        ),
    }


def _compared(other: Scored, fast: Scored, defective: Sequence[bool]) -> dict[str, Any]:
    facts = other.facts(defective)
    lower_by = fast.facts(defective)["image_auroc"] - facts["image_auroc"]
    times = float(np.median(np.divide(fast.backbone_ms, other.backbone_ms)))
    return {**facts, "image_auroc_lower_by": round(lower_by, 5), "backbone_times_as_fast": round(times, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("data", type=Path, help="labelled images")
    parser.add_argument("--rounded", type=Path, nargs="+", default=[], metavar="BANK")
    parser.add_argument("--search", choices=("auto", "exact"), default="auto")
    arguments = parser.parse_args()
    result = check(arguments.bank, arguments.rounded, arguments.data, arguments.search)
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
