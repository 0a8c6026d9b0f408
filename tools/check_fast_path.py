"""Holds the fast path of a bank against the float32 torch reference, on labelled images.

    python tools/check_fast_path.py BANK DATA

DATA is laid out as MVTec AD's: test/good and test/<kind of defect>. Prints one JSON object, and exits 1
where the image AUROC differs by more than 0.001, or fewer than 99.9 % of nearest neighbours are identical
or within 1 % in distance (in the reference's features).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from inspectd.backends.openvino.pipeline import OpenVinoPipeline
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.images import find_images, read_image
from inspectd.model.patchcore import PatchCore
from inspectd.model.pipeline import ReferencePipeline
from inspectd.model.search import ExactSearch

MOST_AUROC = 0.001
LEAST_SHARE = 0.999


def labelled(data: Path) -> Iterator[tuple[bool, NDArray[np.uint8]]]:
    for path in find_images(data / "test"):
        frame = read_image(path)
        if frame is not None:
            yield path.parent.name != "good", frame


def neighbours(
    fast: OpenVinoPipeline, reference: ReferencePipeline, search: ExactSearch, frame: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of patches: nearest row identical; nearest row identical or within 1 % in distance."""
    detector = reference.detector
    assert isinstance(detector, PatchCore)
    features = reference.extractor([frame]).flatten(0, 2)
    least, rows = search.search(features, 1)
    found = torch.from_numpy(fast.nearest(frame)[1][:, :1].astype(np.int64))
    distance = (features - detector.bank[found[:, 0]]).norm(dim=1)
    same = found[:, 0] == rows[:, 0]
    return same.numpy(), (same | (distance <= 1.01 * least[:, 0])).numpy()


def check(bank: Path, data: Path, options: ScoringOptions) -> dict[str, Any]:
    fast = Scorer.load(bank, "cpu", options)
    reference = Scorer.load(bank, "cpu", ScoringOptions(backend="torch"))
    truth, fast_scores, reference_scores, same, close = [], [], [], [], []
    compiled, exact = fast.pipeline, reference.pipeline
    assert isinstance(compiled, OpenVinoPipeline)
    assert isinstance(exact, ReferencePipeline)
    search = ExactSearch(exact.detector.bank) if isinstance(exact.detector, PatchCore) else None
    for defective, frame in labelled(data):
        truth.append(defective)
        fast_scores.append(fast.score([frame])[0].image_score)
        reference_scores.append(reference.score([frame])[0].image_score)
        if search is not None:
            identical, near = neighbours(compiled, exact, search, frame)
            same.append(identical.mean())
            close.append(near.mean())
    fast_auroc, reference_auroc = roc_auc_score(truth, fast_scores), roc_auc_score(truth, reference_scores)
    differences = np.abs(np.subtract(fast_scores, reference_scores))
    return {
        "images": len(truth),
        "bank": [fast.info.rows, fast.info.dims],
        "precision": fast.info.precision,
        "search": fast.info.search,
        "image_auroc": round(float(fast_auroc), 5),
        "image_auroc_reference": round(float(reference_auroc), 5),
        "score_difference_p50": round(float(np.median(differences)), 5),
        "score_difference_max": round(float(differences.max()), 5),
        "neighbours_identical": round(float(np.mean(same)), 6) if same else None,
        "neighbours_identical_or_within_1_percent": round(float(np.mean(close)), 6) if close else None,
        "passed": bool(
            abs(fast_auroc - reference_auroc) <= MOST_AUROC and (not close or np.mean(close) >= LEAST_SHARE)
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("data", type=Path, help="folder with test/good and test/<kind of defect>")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--search", choices=("auto", "exact", "flat", "ivf", "hnsw"), default="auto")
    arguments = parser.parse_args()
    options = ScoringOptions("openvino", arguments.precision, arguments.search)
    result = check(arguments.bank, arguments.data, options)
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
