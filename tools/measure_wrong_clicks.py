"""Measures whether a report shows a wrong click: what each taught picture does to kept rejects.

    python tools/measure_wrong_clicks.py GOOD_DIR DEFECTS_DIR --own 100

Of the good images, in an order by chance, the first are the bank's own; of the rest those that score highest
are taught, as an operator teaches false rejects. Of the defects that the bank finds every other one is a kept
reject. Of the others some, spread over their scores, are called good by mistake: each is taught in a bank of
its own, with all the honest ones. Printed is for each picture how many of the kept rejects pass because of
it, as the report has it.
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
from inspectd.bank.built import Built
from inspectd.bank.file import BankFile, write_bank
from inspectd.bank.images import find_images, named_image, pixel_digest
from inspectd.bank.with_rows import with_rows
from inspectd.files import temporary_folder
from inspectd.pictures.reading import read_picture


def main() -> None:
    """Print a line for each taught picture, and what is made of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("good", type=Path)
    parser.add_argument("defects", type=Path)
    parser.add_argument("--own", type=int, default=100)
    parser.add_argument("--taught", type=int, default=10)
    parser.add_argument("--wrong", type=int, default=8)
    parser.add_argument("--offered", type=int, default=150)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = np.random.default_rng(arguments.seed)
    paths = find_images(arguments.good)
    good = [paths[row] for row in chance.permutation(len(paths))]
    defects = find_images(arguments.defects)
    own, offered = good[: arguments.own], good[arguments.own :][: arguments.offered]
    spec = BuildSpec(height=arguments.size, width=arguments.size)
    base = _built(spec, own, [])
    threshold = base.manifest.threshold
    scores = _scores(base.manifest, base.arrays, offered)
    honest = [offered[row] for row in np.argsort(-scores)[: arguments.taught]]
    of_defects = _scores(base.manifest, base.arrays, defects)
    found = [defects[row] for row in np.argsort(of_defects) if of_defects[row] > threshold]
    kept, others = found[::2], found[1::2]
    print(f"threshold {threshold:.3f}; {len(found)} of {len(defects)} defects are found, {len(kept)} kept")
    rows = np.linspace(0, len(others) - 1, arguments.wrong).round().astype(int)
    results: dict[str, list[int]] = {"honest": [], "wrong": []}
    for number, row in enumerate(rows):
        clicked = others[row]
        built = _built(spec, own, [*honest, clicked])
        counts = _effects(base, built, [*honest, clicked], kept)
        if not number:
            results["honest"] += counts[:-1]
            for path, count in zip(honest, counts, strict=False):
                print(f"honest {path.name:<32} {count:3d} of {len(kept)} kept rejects pass", flush=True)
        results["wrong"].append(counts[-1])
        after = built.manifest.threshold
        print(
            f"wrong  {clicked.name:<32} {counts[-1]:3d} of {len(kept)} kept rejects pass; "
            f"threshold {after:.3f}",
            flush=True,
        )
    for name, counts in results.items():
        print(f"{name}: shown {sum(count > 0 for count in counts)} of {len(counts)}, counts {sorted(counts)}")


def _effects(base: Built, built: Built, taught: Sequence[Path], kept: Sequence[Path]) -> list[int]:
    """Of each taught picture the kept rejects that pass because of it."""
    assert built.taught_rows is not None
    first, other = (BankFile(each.manifest, each.arrays, "") for each in (base, built))
    passing = _scores(built.manifest, built.arrays, kept) <= built.manifest.threshold
    lost = [path for path, is_lost in zip(kept, passing, strict=True) if is_lost]
    counts = []
    for path in taught:
        rows = built.taught_rows[_digest(path)]
        alone = _scores(*with_rows(first, other, rows), lost) if lost and rows else np.empty(0)
        counts.append(int((alone <= base.manifest.threshold).sum()))
    return counts


def _built(spec: BuildSpec, own: Sequence[Path], taught: Sequence[Path]) -> Built:
    spec = replace(spec, taught=frozenset(_digest(path) for path in taught))
    frames = (named_image(path, 8) for path in (*own, *taught))
    return BankBuilder(spec, "cpu", prepare).fit(frames, len(own) + len(taught), lambda *_: None)


def _digest(path: Path) -> str:
    return pixel_digest(read_picture(path)).tobytes().hex()


def _scores(manifest: Any, tensors: Any, paths: Sequence[Path]) -> NDArray[np.float64]:
    with temporary_folder() as folder:
        path = Path(folder) / "x.bank"
        write_bank(path, manifest, tensors)
        scorer = Scorer.load(path, "cpu")
    return np.array([scorer.score([read_picture(path)])[0].image_score for path in paths])


if __name__ == "__main__":
    main()
