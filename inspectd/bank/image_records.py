"""What the file of a bank says of the images that it was built from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.collect import Collection
from inspectd.bank.file import GOOD_SCORES, IMAGE_DIGESTS, IMAGE_PARTS, OUTLIER_HEATMAPS, Outlier, Taught
from inspectd.bank.fit import CrossFit
from inspectd.bank.threshold import outliers
from inspectd.model.detectors import Detector


def file_name(name: str) -> str:
    """An image's name as a bank records it: in UTF-8, without its folder, which differs between builds."""
    return Path(name).name.encode(errors="backslashreplace").decode()


def unlike_the_rest(
    spec: BuildSpec, images: Collection, own: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[list[Outlier], NDArray[np.bool_]]:
    """The outliers, and the mask (n,) of those that do not count; `scores` (n,) are of the rows `own`."""
    aside, unlike = outliers(scores), []
    for row in np.flatnonzero(aside):
        sha256 = images.digests[own[row]].tobytes().hex()
        is_accepted = spec.keep_outliers or sha256 in spec.accepted
        status: Literal["open", "accepted"] = "accepted" if is_accepted else "open"
        unlike.append(Outlier(file_name(images.names[own[row]]), sha256, float(scores[row]), status))
        aside[row] = not is_accepted
    return unlike, aside


def taught_images(
    images: Collection, rows: NDArray[np.int64], scores: NDArray[np.float64], limit: float
) -> tuple[Taught, ...]:
    """The taught images, by their rows; those that score above a limit are unlike the rest."""
    return tuple(
        Taught(
            file_name(images.names[row]),
            images.digests[row].tobytes().hex(),
            float(scores[row]),
            unlike_the_rest=bool(scores[row] > limit),
        )
        for row in rows
    )


def taught_rows(
    images: Collection, taught: NDArray[np.int64], row_images: NDArray[np.int64] | None
) -> dict[str, list[int]] | None:
    """Rows of the bank by the sha256 of each taught image."""
    if row_images is None:
        return None
    return {
        images.digests[image].tobytes().hex(): np.flatnonzero(row_images == image).tolist()
        for image in taught
    }


def arrays_of(
    detector: Detector,
    held_out: CrossFit,
    images: Collection,
    taught: NDArray[np.bool_],
    parts: NDArray[np.int64] | None,
) -> dict[str, NDArray[Any]]:
    """Tensors of the bank file, by name."""
    tensors = {f"detector.{name}": tensor for name, tensor in detector.tensors().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in held_out.head.tensors().items()}
    arrays: dict[str, NDArray[Any]] = {
        name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
        for name, tensor in tensors.items()
    }
    scores = held_out.scores[~taught]
    arrays |= {GOOD_SCORES: scores, IMAGE_DIGESTS: images.digests[~taught]}
    if parts is not None:
        arrays[IMAGE_PARTS] = parts[~taught]
    unlike = outliers(scores)
    return arrays | {OUTLIER_HEATMAPS: held_out.heatmaps[~taught][unlike]} if unlike.any() else arrays
