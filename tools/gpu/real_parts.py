"""Real cells scored by every path, against float32 on the CPU."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calls import put
from gpu_run import CUDA, DEV, step

_TRAIN = 66


def accuracy() -> None:
    """Scores of real cells by every path against float32 on the CPU, in standard deviations of good parts."""
    from inspectd.backends.cuda.pipeline import CudaPipeline
    from inspectd.backends.reference import reference_pipeline
    from inspectd.bank.file import read_bank
    from inspectd.bank.images import read_image

    root = Path(os.environ.get("GPU_DAY_CELLS") or ".gpuday/one")
    if not (root / "cells.bank").is_file():
        put("left out", what="accuracy", reason=f"no {root}/cells.bank: prepare makes it")
        return
    good, defective = cells_of(root)
    images = [read_image(path) for path in good[_TRAIN:] + defective]
    kinds = [True] * len(good[_TRAIN:]) + [False] * len(defective)
    on_cpu = reference_pipeline(root / "cells.bank", read_bank(root / "cells.bank"), torch.device("cpu"))
    want = scores_of(on_cpu, images)
    spread = float(np.std(want[np.array(kinds)]))
    bank = read_bank(root / "cells.bank")
    kinds_of_search = ["auto", "exact-float8", "exact-fused", "exact-float16"]
    if importlib.util.find_spec("faiss"):  # it does not travel with the cells
        kinds_of_search.append("flat")
    for kind in ("torch, float32", *kinds_of_search) if CUDA else ():
        with step(f"accuracy {kind}", 15) as go:
            if not go:
                continue
            scorer = reference_pipeline(root / "cells.bank", bank, torch.device(DEV))
            if kind in kinds_of_search:
                scorer = CudaPipeline(scorer, search=kind)
            got = scores_of(scorer, images)
            off = np.abs(got - want) / spread
            threshold = bank.manifest.threshold
            put(
                "accuracy", way=kind, images=len(want), median=float(np.median(off)),
                p99=float(np.percentile(off, 99)), worst=float(off.max()),
                verdicts_that_differ=int(((got > threshold) != (want > threshold)).sum()),
                search=getattr(getattr(scorer, "steps", None), "search", "exact"),
            )  # fmt: skip


def scores_of(scorer: Any, images: list[Any]) -> np.ndarray:
    return np.array(
        [one.image_score for i in range(0, len(images), 8) for one in scorer.score(images[i : i + 8])]
    )


def cells_of(root: Path) -> tuple[list[Path], list[Path]]:
    """The good and the defective cells that were carried."""
    data = root / "elpv_dataset" / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text().splitlines()]
    there = [(data / name, float(share)) for name, share, _ in rows if (data / name).is_file()]
    return sorted(p for p, share in there if share == 0.0), sorted(p for p, share in there if share == 1.0)


def cells(root: str, target: str) -> None:
    """Copy the cells a bank is built from to a folder."""
    good, _ = cells_of(Path(root))
    for path in good[:_TRAIN]:
        shutil.copy(path, target)
