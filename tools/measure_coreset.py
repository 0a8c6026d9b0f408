"""Measures choosing a coreset by several processes: time, memory, and whether it is what one process chooses.

    python tools/measure_coreset.py --images 39063 --rows 4000 --workers 2
    python tools/measure_coreset.py --images 500 --rows 2000 --workers 1,2,4 --kill 2 --compare

Features are made: 256 patches an image, of few dimensions that are mixed to many, as real ones are.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from inspectd.bank.coreset import Coreset, coreset_of
from inspectd.bank.coreset_workers import CoresetWorkers
from inspectd.bank.patches import SharedFeatures
from inspectd.cli.bank_common import Steps

SIDE = 16
IMAGES_AT_ONCE = 50
LATENT = 12


def fill(features: torch.Tensor, steps: Steps) -> None:
    chance = torch.Generator().manual_seed(0)
    mixing = torch.randn(LATENT, features.shape[-1], generator=chance)
    noise = 0.05 * torch.randn(IMAGES_AT_ONCE, *features.shape[1:], generator=chance)
    for start in range(0, len(features), IMAGES_AT_ONCE):
        part = features[start : start + IMAGES_AT_ONCE]
        latent = torch.randn(*part.shape[:3], LATENT, generator=chance)
        part.copy_((latent @ mixing + noise[: len(part)]).abs())
        steps("features", start + len(part), len(features))


def memory_bytes(pids: list[int]) -> int:
    """What processes have together; memory that several see counts once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
    return total


def chosen(shared: SharedFeatures, rows: int, count: int, kills: int, steps: Steps) -> Coreset:
    images, most, killed = len(shared.tensor), 0, 0
    start = time.perf_counter()
    with CoresetWorkers(shared, images, None, count, seed=0) as workers:

        def progress(done: int) -> None:
            nonlocal most, killed
            steps(f"{count} workers", done, rows)
            pids = [os.getpid(), *(part.process.pid for part in workers.parts)]
            most = max(most, memory_bytes(pids))
            if killed < kills and done > rows * (killed + 1) / (kills + 1):
                os.kill(pids[1 + killed % count], signal.SIGKILL)
                killed += 1

        found = workers.choose(np.arange(images), rows, progress)
        lost = workers.lost
    features = shared.tensor.numel() * shared.tensor.itemsize
    print(
        f"{count} workers, {killed} killed, {lost} made anew: {time.perf_counter() - start:.1f} s, at most "
        f"{most / 1e9:.2f} GB in all processes, "
        f"of which {features / 1e9:.2f} GB features; radius {found.radius:.4f}",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--dims", type=int, default=176)
    parser.add_argument("--rows", type=int, required=True, help="patches to choose")
    parser.add_argument("--workers", default="2", help="how many, several with commas; default: %(default)s")
    parser.add_argument("--kill", type=int, default=0, help="workers to kill on the way")
    parser.add_argument("--compare", action="store_true", help="let one process choose too")
    arguments = parser.parse_args()
    shape = (arguments.images, SIDE, SIDE, arguments.dims)
    with (
        torch.inference_mode(),
        closing(SharedFeatures.make(shape, torch.float16)) as shared,
        Steps() as steps,
    ):
        fill(shared.tensor, steps)
        found = [
            chosen(shared, arguments.rows, int(count), arguments.kill, steps)
            for count in arguments.workers.split(",")
        ]
        if arguments.compare:
            start = time.perf_counter()
            found.append(coreset_of(shared.tensor.flatten(0, 2), arguments.rows, 0))
            print(f"one process: {time.perf_counter() - start:.1f} s", flush=True)
        equal = [bool(torch.equal(one.rows, found[0].rows)) for one in found[1:]]
        print(
            f"{shape[0] * SIDE * SIDE:,} patches, {arguments.rows:,} chosen; the same as the first: {equal}"
        )


if __name__ == "__main__":
    main()
