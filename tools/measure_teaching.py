"""Measures what teaching a bank does to defects that escape, by three rules for its threshold.

    python tools/measure_teaching.py GOOD_DIR DEFECTS_DIR --own 100 --draws 1

Of the good images, in an order by chance, the first are the bank's own, the next are judged, the next are
parts drawn by chance that help to set a threshold; of the rest those that score highest are taught, as an
operator teaches false rejects. A wrong click is a defect that the bank found, in the middle of their scores,
and that somebody called good.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.precisions import prepare
from inspectd.backends.scorer import Scorer
from inspectd.bank.build import BankBuilder
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import GOOD_SCORES, write_bank
from inspectd.bank.images import find_images, named_image, pixel_digest
from inspectd.bank.threshold import find_threshold, outliers
from inspectd.files import temporary_folder
from inspectd.pictures.reading import read_picture


def main() -> None:
    """Print a line for each way of teaching."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("good", type=Path)
    parser.add_argument("defects", type=Path)
    parser.add_argument("--own", type=int, default=100)
    parser.add_argument("--judged", type=int, default=150)
    parser.add_argument("--drawn", type=int, default=100)
    parser.add_argument("--taught", type=int, default=10)
    parser.add_argument("--wrong", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--draws", type=int, default=1)
    arguments = parser.parse_args()
    for draw in range(arguments.draws):
        _draw(arguments, np.random.default_rng(draw))


def _draw(arguments: argparse.Namespace, chance: np.random.Generator) -> None:
    good = [find_images(arguments.good)[row] for row in chance.permutation(len(find_images(arguments.good)))]
    own, judged = good[: arguments.own], good[arguments.own :][: arguments.judged]
    drawn, offered = (good[arguments.own + arguments.judged :][part] for part in _parts(arguments.drawn))
    defects = find_images(arguments.defects)
    score, threshold = _bank(own, [], is_own=False)
    of_defects = score(defects)
    _say("as commissioned", threshold, of_defects, score(judged))
    rejects = [offered[row] for row in np.argsort(-score(offered))[: arguments.taught]]
    found = np.argsort(of_defects)
    found = found[of_defects[found] > threshold]
    for wrong in arguments.wrong:
        middle = len(found) // 2
        clicked = [defects[row] for row in found[middle : middle + wrong]]
        rest = [path for path in defects if path not in clicked]
        what = f"{len(rejects)} taught, {wrong} wrong"
        score, threshold = _bank(own, [*rejects, *clicked], is_own=True)
        _say(f"{what}, as all images", threshold, score(rest), score(judged))
        score, threshold, own_scores = _bank(own, [*rejects, *clicked], is_own=False, with_scores=True)
        of_rest, of_judged = score(rest), score(judged)
        _say(f"{what}, they set nothing", threshold, of_rest, of_judged)
        together = np.concatenate([own_scores, score(drawn)])
        threshold = find_threshold(together, outliers(together)).value
        _say(f"{what}, and {len(drawn)} drawn do", threshold, of_rest, of_judged)


def _parts(count: int) -> tuple[slice, slice]:
    return slice(count), slice(count, None)


def _bank(own: Sequence[Path], taught: Sequence[Path], *, is_own: bool, with_scores: bool = False) -> Any:
    """What scores images by such a bank, its threshold, and the scores of its own images."""
    spec = BuildSpec()
    if not is_own:
        digests = {pixel_digest(read_picture(path)).tobytes().hex() for path in taught}
        spec = replace(spec, taught=frozenset(digests))
    frames = (named_image(path, 8) for path in (*own, *taught))
    built = BankBuilder(spec, "cpu", prepare).fit(frames, len(own) + len(taught), lambda *_: None)
    with temporary_folder() as folder:
        path = Path(folder) / "x.bank"
        write_bank(path, built.manifest, built.arrays)
        scorer = Scorer.load(path, "cpu")

    def score(paths: Sequence[Path]) -> NDArray[np.float64]:
        return np.array([scorer.score([read_picture(path)])[0].image_score for path in paths])

    found = (score, built.manifest.threshold)
    return (*found, built.arrays[GOOD_SCORES]) if with_scores else found


def _say(what: str, threshold: float, defects: NDArray[np.float64], good: NDArray[np.float64]) -> None:
    escapes, rejects = int((defects <= threshold).sum()), int((good > threshold).sum())
    at_one = float(np.quantile(good, 0.99))
    print(
        f"{what:<44} threshold {threshold:7.3f}  escapes {escapes:3d} of {len(defects)} = "
        f"{escapes / len(defects):4.0%}  good rejected {rejects} of {len(good)}  "
        f"escapes at 1 % rejected {np.mean(defects <= at_one):4.0%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
