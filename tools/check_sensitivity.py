"""Holds `inspectd bank sensitivity` against real defects, over banks of different settings.

    python tools/check_sensitivity.py GOOD DATA [--out FILE]

GOOD is a folder of good images to build from, DATA labelled images as for `inspectd bank evaluate`. Every
bank is built by the command; its threshold is then the score that a share of DATA's good images exceeds, the
same share for every bank. At that threshold the tool compares the share of real defects that is found with
the share of large synthetic ones, drawn into DATA's good images. Prints one JSON object: figures of every
bank, and Spearman's rank correlations over the banks, of everything and by label and kind.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from inspectd.backends.scorer import Scorer
from inspectd.bank.file import read_manifest
from inspectd.bank.images import read_again
from inspectd.evaluation.dataset import LabelledImage, read_dataset
from inspectd.evaluation.drawn_defects import (
    WHOLE,
    GoodImage,
    ScoredPaste,
    found_share,
    large_from,
    score_pastes,
    size_range,
)
from inspectd.evaluation.evaluate import Judged, evaluate
from inspectd.evaluation.paste_plan import plan_pastes

SETTINGS = {
    "default": [],
    "128": ["--size", "128"],
    "192": ["--size", "192"],
    "320": ["--size", "320"],
    "coreset 0.005": ["--coreset", "0.005"],
    "paper": ["--option", "local_scale=false", "--option", "position_weight=0"],
    "padim": ["--detector", "padim"],
    "dfkde": ["--detector", "dfkde"],
    "one deep layer": ["--layers", "blocks.4"],
}


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def pastes_of(bank: Path, judged: list[Judged], each: int) -> list[ScoredPaste]:
    """Large pastes in all good images, whatever these score: the threshold is found afterwards."""
    manifest, scorer = read_manifest(bank), Scorer.load(bank, "cpu")
    good = [
        GoodImage(
            str(item.image.path),
            partial(read_again, item.image.path, manifest.bit_depth),
            item.score,
            item.size,
        )
        for item in judged
        if not item.image.defective and not item.from_the_bank
    ]
    low, high = size_range([image.size for image in good], WHOLE)
    planned = plan_pastes(each, len(good), (large_from((low, high)), high), seed=0)
    return score_pastes(
        good, planned, WHOLE, lambda frames: [a.image_score for a in scorer.score(frames)], lambda _: None
    )


def share_by(scored: list[ScoredPaste], threshold: float) -> dict[str, float]:
    kinds = dict.fromkeys(item.paste.kind for item in scored)
    return {
        kind: found_share([item for item in scored if item.paste.kind == kind], threshold).share
        for kind in kinds
    }


def check(bank: Path, images: list[LabelledImage], rates: list[float], each: int) -> dict[str, Any]:
    judged = evaluate(bank, images, "cpu", quiet).judged
    large = pastes_of(bank, judged, each)
    good = np.array([item.score for item in judged if not item.image.defective])
    labels = sorted({item.image.label for item in judged if item.image.defective})
    found: dict[str, Any] = {}
    for rate in rates:
        threshold = float(np.quantile(good, 1 - rate, method="higher"))
        failed = [(item.image.label, item.score > threshold) for item in judged if item.image.defective]
        found[f"{rate:g}"] = {
            "real": round(float(np.mean([fail for _, fail in failed])), 3),
            "synthetic": round(found_share(large, threshold).share, 3),
            "real_by_label": {
                label: round(float(np.mean([fail for own, fail in failed if own == label])), 3)
                for label in labels
            },
            "synthetic_by_kind": {k: round(v, 3) for k, v in share_by(large, threshold).items()},
        }
    return found


def ranks(banks: dict[str, dict[str, Any]], rate: str) -> dict[str, Any]:
    """Spearman's correlations over the banks at one rate."""
    rows = [bank[rate] for bank in banks.values()]

    def rank(first: list[float], second: list[float]) -> float | None:
        if len(set(first)) < 2 or len(set(second)) < 2:
            return None
        return round(float(stats.spearmanr(first, second).statistic), 2)

    real, synthetic = [row["real"] for row in rows], [row["synthetic"] for row in rows]
    by_label = {
        label: {
            "all": rank([row["real_by_label"][label] for row in rows], synthetic),
            **{
                kind: rank(
                    [row["real_by_label"][label] for row in rows],
                    [row["synthetic_by_kind"][kind] for row in rows],
                )
                for kind in rows[0]["synthetic_by_kind"]
            },
        }
        for label in rows[0]["real_by_label"]
    }
    return {
        "all": rank(real, synthetic),
        "largest_difference": round(max(abs(a - b) for a, b in zip(real, synthetic, strict=True)), 3),
        "by_label": by_label,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("good", type=Path, metavar="GOOD")
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--rates", default="0.01,0.05", help="false-reject rates; default: %(default)s")
    parser.add_argument(
        "--pastes", type=int, default=60, help="for each kind and contrast; default: %(default)s"
    )
    parser.add_argument("--only", help="names of settings, between commas")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    images = read_dataset(arguments.data).images
    rates = [float(rate) for rate in arguments.rates.split(",")]
    names = arguments.only.split(",") if arguments.only else list(SETTINGS)
    banks: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            bank = Path(folder) / "trial.bank"
            words = ["bank", "build", "--tune", "off", "--images", str(arguments.good), "--out", str(bank)]
            words += SETTINGS[name]
            subprocess.run([sys.executable, "-m", "inspectd", *words], check=True, stdout=subprocess.DEVNULL)
            banks[name] = check(bank, images, rates, arguments.pastes)
            print(name, json.dumps(banks[name]), file=sys.stderr, flush=True)
    result = {"banks": banks, "spearman": {f"{rate:g}": ranks(banks, f"{rate:g}") for rate in rates}}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
