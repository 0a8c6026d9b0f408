"""Labelled images to judge a bank by: an MVTec-style folder, or a CSV of paths and labels."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inspectd.bank.images import SUFFIXES, find_images
from inspectd.errors import InputError

GOOD: Final = "good"


@dataclass(frozen=True)
class LabelledImage:
    """One image whose truth is known.

    Attributes:
        path: the image file.
        label: `good`, or the name of the defect's class.
        mask: an image whose pixels above 0 are defective, where there is one.
    """

    path: Path
    label: str
    mask: Path | None = None

    @property
    def defective(self) -> bool:
        """Whether it shows a defect."""
        return self.label != GOOD


def load_dataset(source: Path) -> list[LabelledImage]:
    """All labelled images of a data set.

    Args:
        source: a folder with `test/<label>/` and, optionally, `ground_truth/<label>/<name>_mask.png` as
            MVTec AD has; a folder of `<label>/` folders; or a CSV file with the columns `path` and `label`
            and optionally `mask`, its paths relative to the file. The label of good parts is `good`.

    Raises:
        InputError: it is none of these, or lacks good or defective images.
    """
    images = _from_csv(source) if source.is_file() else _from_folder(source)
    for wanted in (False, True):
        if not any(image.defective is wanted for image in images):
            kind = "defective" if wanted else "good"
            raise InputError(
                f"data set {source}: has no {kind} images, expected some; good ones are labelled {GOOD!r}"
            )
    return images


def _from_folder(root: Path) -> list[LabelledImage]:
    tests = root / "test" if (root / "test").is_dir() else root
    paths = [path for path in find_images(tests) if path.parent != tests and not path.stem.endswith("_mask")]
    return [LabelledImage(path, _label(path, tests), _mask(path, root, tests)) for path in paths]


def _label(path: Path, tests: Path) -> str:
    return path.relative_to(tests).parts[0]


def _mask(path: Path, root: Path, tests: Path) -> Path | None:
    folder = root / "ground_truth" / path.relative_to(tests).parent
    candidates = (
        folder / f"{path.stem}{ending}{suffix}" for ending in ("_mask", "") for suffix in sorted(SUFFIXES)
    )
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _from_csv(source: Path) -> list[LabelledImage]:
    try:
        with source.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"data set {source}: cannot be read as CSV: {error}") from error
    images = []
    for line, row in enumerate(rows, start=2):
        if not row.get("path") or not row.get("label"):
            raise InputError(
                f"data set {source}, line {line}: expected the columns path and label, got {dict(row)}"
            )
        path = source.parent / row["path"]
        if not path.is_file():
            raise InputError(f"data set {source}, line {line}: image {path} not found")
        images.append(
            LabelledImage(path, row["label"], source.parent / row["mask"] if row.get("mask") else None)
        )
    return images
