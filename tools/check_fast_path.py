"""Holds the fast path of a bank against the float32 torch reference, on labelled images.

    python tools/check_fast_path.py BANK DATA

DATA is laid out as MVTec AD's: test/good and test/<kind of defect>. Prints one JSON object, and exits 1
where the image AUROC differs by more than 0.001, or the score of one image in a hundred by more than 0.05
standard deviations of good parts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.images import find_images, read_image

MOST_AUROC = 0.001
MOST_APART = 0.05


def labelled(data: Path) -> Iterator[tuple[bool, NDArray[np.uint8]]]:
    for path in find_images(data / "test"):
        frame = read_image(path)
        if frame is not None:
            yield path.parent.name != "good", frame


def check(bank: Path, data: Path, options: ScoringOptions) -> dict[str, Any]:
    fast = Scorer.load(bank, "cpu", options)
    reference = Scorer.load(bank, "cpu", ScoringOptions(backend="torch"))
    truth, fast_scores, reference_scores = [], [], []
    for defective, frame in labelled(data):
        truth.append(defective)
        fast_scores.append(fast.score([frame])[0].image_score)
        reference_scores.append(reference.score([frame])[0].image_score)
    fast_auroc, reference_auroc = roc_auc_score(truth, fast_scores), roc_auc_score(truth, reference_scores)
    differences = np.abs(np.subtract(fast_scores, reference_scores))
    p50, p99 = np.percentile(differences, [50, 99])
    return {
        "images": len(truth),
        "bank": [fast.info.rows, fast.info.dims],
        "precision": fast.info.precision,
        "search": fast.info.search,
        "image_auroc": round(float(fast_auroc), 5),
        "image_auroc_reference": round(float(reference_auroc), 5),
        "score_difference_p50": round(float(p50), 5),
        "score_difference_p99": round(float(p99), 5),
        "score_difference_max": round(float(differences.max()), 5),
        "passed": bool(abs(fast_auroc - reference_auroc) <= MOST_AUROC and p99 <= MOST_APART),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("data", type=Path, help="folder with test/good and test/<kind of defect>")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--search", choices=("auto", "exact"), default="auto")
    arguments = parser.parse_args()
    options = ScoringOptions("openvino", arguments.precision, arguments.search)
    result = check(arguments.bank, arguments.data, options)
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
