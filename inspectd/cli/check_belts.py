"""For `inspectd check`: pictures of the empty belt that show parts, so that parts would be dropped unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.scorer import Scorer
from inspectd.config import Camera, Recipe
from inspectd.errors import InputError
from inspectd.pictures.depth import PictureError
from inspectd.pictures.folder import list_pictures
from inspectd.pictures.reading import decode_recorded, read_bytes
from inspectd.records import BankInForce
from inspectd.scoring.worker import find, switched_off


def belts_with_parts(
    cameras: Iterable[tuple[str, Camera]], recipe: Recipe, bank: BankInForce, scorer: Scorer
) -> Iterator[str]:
    """Pictures of the empty belt that a recipe's bank would pass, of cameras that it judges; three are tried.

    Args:
        cameras: each with its path in the configuration.
        recipe: the recipe.
        bank: its bank, with the threshold in force.
        scorer: scores by it.
    """
    for where, camera in cameras:
        folder = camera.presence.empty_folder
        if folder is None or recipe.name not in camera.places.values():
            continue
        passed = next(_passed(camera, Path(folder), recipe, bank, scorer), None)
        if passed is not None:
            yield (
                f"{where}.presence.empty_folder: {passed} would pass by recipe {recipe.name}: does it show a "
                "part? Frames that look like these pictures are no parts to the line, and get no verdict"
            )


def _passed(camera: Camera, folder: Path, recipe: Recipe, bank: BankInForce, scorer: Scorer) -> Iterator[str]:
    try:
        paths = list_pictures(folder).pictures
    except InputError:
        return  # whoever reads the belt's pictures says so
    off = switched_off(recipe.quality_off)
    for path in (paths[0], paths[len(paths) // 2], paths[-1]):
        try:
            pixels = decode_recorded(read_bytes(path), camera.bit_depth)
        except PictureError:
            continue  # as above
        for region, part in _judged(camera, recipe, pixels):
            is_of_its_size = recipe.any_size or part.shape[:2] in bank.image_sizes
            if is_of_its_size and find(scorer.check, part, off).flaw is None:
                (score,) = scorer.score([part])
                if score.image_score <= bank.threshold:
                    yield path.name if region is None else f"region {region} of {path.name}"


def _judged(
    camera: Camera, recipe: Recipe, pixels: NDArray[np.uint8]
) -> Iterator[tuple[str | None, NDArray[np.uint8]]]:
    """What a recipe judges of a camera's picture, each region by its name; None: all of it."""
    if not camera.regions:
        yield None, pixels
    for region in camera.regions:
        cut = region.rectangle
        part = pixels[cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
        if (region.recipe or camera.recipe) == recipe.name and part.shape[:2] == (cut.height, cut.width):
            yield region.name, part
