"""Time of an image by this version and by another checkout, in turn, for several sizes of bank.

    python tools/compare_versions.py DATA --other CHECKOUT [--rows 3072,12288] [--grids coarse,fine]

DATA is laid out as MVTec AD's. For each grid one coreset is chosen of train/good (beyond 12,288 rows they are
random), whose first rows are the smaller banks, and a head is fitted to test/good. Both versions score the
same images of test/ one after the other, each in a process of its own. Prints a table of medians in ms, and
of the ratios of each pair.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from inspectd.bank.coreset import greedy_coreset
from inspectd.bank.file import GOOD_SCORES, Manifest, write_bank
from inspectd.bank.fit import FeaturesHere
from inspectd.bank.images import find_images, read_image
from inspectd.bank.lists import add_lists
from inspectd.model.architectures import DEFAULT_BACKBONE
from inspectd.model.backbones import load_backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import Head, image_embedding
from inspectd.model.options import HeadOptions, PaDiMOptions, PatchCoreOptions, PatchOptions
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore

SIZE = 256
MOST_CHOSEN = 12_288
"""Larger banks are filled up with rows at random: to choose 122,880 takes an hour."""
LAYERS = {"coarse": None, "fine": ("blocks.2", "blocks.4")}
SCHEMAS = ("inspectd-bank/2", "inspectd-bank/1")
SERVE = """
import json, sys, time
from pathlib import Path
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.images import read_image
scorer = Scorer.load(Path(sys.argv[1]), "cpu", ScoringOptions(threads=int(sys.argv[2])))
print(json.dumps(scorer.info.search), flush=True)
for line in sys.stdin:
    frame = read_image(Path(line.strip()))
    start = time.perf_counter()
    answer, = scorer.score([frame])
    spent_ms = 1e3 * (time.perf_counter() - start)
    print(json.dumps([spent_ms, answer.stage_ms["search"], answer.image_score]), flush=True)
"""


def banks(data: Path, grid: str, sizes: list[int], folder: Path) -> Iterator[tuple[int, list[Path]]]:
    """Rows, and the bank as this and as the earlier version reads it."""
    cpu = torch.device("cpu")
    options, patches = PatchCoreOptions(), PatchOptions(grid=grid)  # type: ignore[arg-type]
    backbone = load_backbone(DEFAULT_BACKBONE, LAYERS[grid], None, cpu)
    extractor = FeatureExtractor(backbone, SIZE, SIZE, cpu, patches)

    def features(part: Path) -> torch.Tensor:
        return torch.cat(
            [extractor([frame]) for path in find_images(part) if (frame := read_image(path)) is not None]
        )

    with torch.inference_mode():
        train, good = features(data / "train" / "good"), features(data / "test" / "good")[::3]
        points = train.flatten(0, 2)
        sizes = [rows for rows in sizes if rows <= len(points)]
        chosen = greedy_coreset(points, min(max(sizes), MOST_CHOSEN), 0)
        rest = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
        chosen = torch.cat([chosen, rest[~torch.isin(rest, chosen)]])
        places = PaDiM.fit(train, PaDiMOptions(), 0)
        for rows in sizes:
            detector = PatchCore(points[chosen[:rows]], options, positions=places)
            maps = torch.cat([detector.score_maps(part) for part in good.split(8)])  # type: ignore[no-untyped-call]
            head = Head.fit(HeadOptions(), maps, image_embedding(good))
            arrays = {f"head.{name}": tensor.numpy() for name, tensor in head.tensors().items()}
            arrays[GOOD_SCORES] = np.zeros(len(train))
            manifest = Manifest(
                detector="patchcore", options=msgspec.to_builtins(options), head=head.options,
                patch_options=patches, backbone=backbone.name, weights=backbone.weights,
                weights_sha256=backbone.weights_sha256, layers=backbone.layers, input_height=SIZE,
                input_width=SIZE, images=len(train), patches=len(points), rows=rows, dims=points.shape[1],
                coreset_ratio=None, seed=0, threshold=1e6, threshold_basis="to measure speed",
            )  # fmt: skip
            paths = []
            for schema in SCHEMAS:
                if schema == SCHEMAS[0]:
                    add_lists(detector, train[0, ..., 0].numel(), FeaturesHere(train).nearest)
                else:
                    detector.lists = None
                memory = {f"detector.{name}": tensor.numpy() for name, tensor in detector.tensors().items()}
                paths.append(folder / f"{grid}-{rows}-{schema[-1]}.bank")
                write_bank(paths[-1], msgspec.structs.replace(manifest, schema=schema), memory | arrays)
            yield rows, paths


class Version:
    """A checkout that scores images with a bank, in a process of its own."""

    def __init__(self, checkout: Path, bank: Path, threads: int) -> None:
        command = [sys.executable, "-c", SERVE, str(bank), str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout,
            env={"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads), "HOME": str(bank.parent)},
        )  # fmt: skip
        self.search = self._answer()

    def score(self, image: Path) -> list[float]:
        """Milliseconds altogether and of the search, and the score."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{image}\n")
        self._process.stdin.flush()
        answer: list[float] = self._answer()
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("error: a version ended; what it said stands above")
        return json.loads(line)


def compare(paths: list[Path], other: Path, images: list[Path], threads: int) -> str:
    """A row of the table."""
    here = Path(__file__).resolve().parents[1]
    versions = [Version(here, paths[0], threads), Version(other.resolve(), paths[1], threads)]
    for version in versions:
        version.score(images[0])  # the first is slow
    pairs = np.array([[version.score(image) for version in versions] for image in images])
    names = [version.search for version in versions]
    for version in versions:
        version.close()
    spent, search = pairs[:, :, 0], pairs[:, :, 1]
    cells = [
        f"{names[1]} {statistics.median(spent[:, 1]):.1f} ({statistics.median(search[:, 1]):.1f})",
        f"{names[0]} {statistics.median(spent[:, 0]):.1f} ({statistics.median(search[:, 0]):.1f})",
        f"{np.median(spent[:, 1] / spent[:, 0]):.2f}",
        f"{np.median(search[:, 1] / search[:, 0]):.2f}",
    ]
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--other", type=Path, required=True, help="checkout of the other version")
    parser.add_argument("--rows", default="3072,12288,30720,122880")
    parser.add_argument("--grids", default="coarse,fine")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    every = find_images(arguments.data / "test")
    images = every[:: max(1, len(every) // arguments.images)]
    print("| Grid | Rows | other: search, ms (of the search) | this | times as fast | search alone |")
    print("|---|---|---|---|---|---|")
    sizes = [int(rows) for rows in arguments.rows.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        for grid in arguments.grids.split(","):
            for rows, paths in banks(arguments.data, grid, sizes, Path(folder)):
                row = compare(paths, arguments.other, images, arguments.threads)
                print(f"| {grid} | {rows:,} | {row} |", flush=True)


if __name__ == "__main__":
    main()
