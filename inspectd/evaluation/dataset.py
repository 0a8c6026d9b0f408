"""Labelled images to judge a bank by: an MVTec-style folder, or a CSV of paths and labels."""

from __future__ import annotations

import csv
import filecmp
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from inspectd.errors import InputError
from inspectd.files import is_file, is_folder
from inspectd.pictures.folder import GROUND_TRUTH, list_masks, list_pictures, mask_stems
from inspectd.pictures.parts import named_parts

GOOD: Final = "good"
_Key = tuple[str, str]
"""A picture's folder, below the data set's, and its stem; both in lower case."""
_HEAD_BYTES: Final = 1 << 16
"""Pictures that are the same in all of these, and have one size, are read whole to tell them apart."""


@dataclass(frozen=True)
class LabelledImage:
    """One image with its ground truth.

    Attributes:
        path: the image file.
        label: `good`, or the name of the defect's class.
        mask: an image that shows which pixels are defective (`defective_pixels`), or a folder of such, where
            there is one.
        part: name of the part that it shows; None: one that no other image shows.
    """

    path: Path
    label: str
    mask: Path | None = None
    part: str | None = None

    @property
    def defective(self) -> bool:
        """Whether it is labelled as a defect."""
        return self.label != GOOD


@dataclass(frozen=True)
class DataSet:
    """Labelled images, and what lies beside them.

    Attributes:
        images: all of them, in path order or in that of the CSV.
        left_out: other files: the reason for passing them over, in words, and their number.
        stray_masks: masks that belong to no image.
    """

    images: list[LabelledImage]
    left_out: Counter[str] = field(default_factory=Counter)
    stray_masks: list[Path] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """Remarks for people who read its figures."""
        notes = [f"left out: {count} {reason}" for reason, count in sorted(self.left_out.items())]
        defective = [image for image in self.images if image.defective]
        masked = sum(image.mask is not None for image in defective)
        if (masked or self.stray_masks) and (masked < len(defective) or self.stray_masks):
            stray = f", {len(self.stray_masks)} mask files belong to no image" if self.stray_masks else ""
            notes.append(f"masks for {masked} of {len(defective)} defective images{stray}")
        return notes


def read_dataset(source: Path, parts: str | None = None) -> DataSet:
    """A data set's labelled images with their masks.

    Args:
        source: a folder with `test/<label>/` and, optionally, `ground_truth/<label>/<name>_mask.png` as
            MVTec AD has, or `ground_truth/<label>/<name>/*.png` as MVTec LOCO has; a folder of `<label>/`
            folders, masks beside the images or in `ground_truth`; or a CSV file with the columns `path` and
            `label` and optionally `mask` and `part`, its paths relative to the file. The label of good parts
            is `good`.
        parts: a regular expression that names the part of each image of a folder (`named_parts`); None: each
            shows another.

    Raises:
        InputError: it is none of these, lacks good or defective images, has labels that differ from `good`
            by case or blanks only, one picture is labelled as good and as a defect, or `parts` is of no use.
    """
    found = _from_csv(source) if is_file(source) else _from_folder(source)
    if parts is not None:
        found = replace(found, images=_of_parts(source, found.images, parts))
    near = sorted({i.label for i in found.images if i.label != GOOD and i.label.strip().lower() == GOOD})
    if near:
        names = ", ".join(repr(label) for label in near)
        raise InputError(f"data set {source}: has the label {names}; the label of good parts is {GOOD!r}")
    for wanted in (False, True):
        if not any(image.defective is wanted for image in found.images):
            kind = "defective" if wanted else "good"
            raise InputError(
                f"data set {source}: has no {kind} images, expected some: good ones in its folder "
                f"test/{GOOD}, others in test/LABEL"
            )
    _refuse_two_truths(source, found.images)
    return found


def _of_parts(source: Path, images: Sequence[LabelledImage], pattern: str) -> list[LabelledImage]:
    if is_file(source):
        raise InputError(f"--parts: expected only with a folder; {source} names parts in its column `part`")
    named = named_parts(pattern, source, [image.path for image in images])
    return [replace(image, part=named[str(image.path)]) for image in images]


def _refuse_two_truths(source: Path, images: Iterable[LabelledImage]) -> None:
    """Refuse a picture that is good and a defect: one of them is wrong, and so would be all figures."""
    alike: dict[tuple[int, bytes], list[LabelledImage]] = defaultdict(list)
    for image in images:
        try:
            with image.path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
            key = image.path.stat().st_size, hashlib.sha256(head).digest()
        except OSError:
            continue  # whoever reads the picture says so, of an empty one too
        if head:
            alike[key].append(image)
    for group in alike.values():
        good = [image for image in group if not image.defective]
        for image in group:
            twin = next((each for each in good if image.defective and _is_same(each, image)), None)
            if twin is not None:
                raise InputError(
                    f"data set {source}: {twin.path} (label {GOOD!r}) and {image.path} (label "
                    f"{image.label!r}) are the same picture, expected one label for it; take one of them out"
                )


def _is_same(one: LabelledImage, other: LabelledImage) -> bool:
    return one.path == other.path or filecmp.cmp(one.path, other.path, shallow=False)


def _from_folder(root: Path) -> DataSet:
    tests = root / "test" if is_folder(root / "test") else root
    found = list_pictures(tests)
    labelled = [path for path in found.pictures if path.parent != tests]
    if len(labelled) < len(found.pictures):
        found.left_out["images outside the labels' folders"] += len(found.pictures) - len(labelled)
    images = [LabelledImage(path, path.relative_to(tests).parts[0]) for path in labelled]
    places = [(path, path.relative_to(tests)) for path in found.masks]
    if tests != root:
        truth = _ground_truth(root)
        places += [(path, path.relative_to(truth)) for path in list_masks(truth)] if truth else []
    images, stray = _with_masks(images, tests, places)
    return DataSet(images, found.left_out, stray)


def _ground_truth(root: Path) -> Path | None:
    folders = sorted(path for path in root.iterdir() if path.name.lower() == GROUND_TRUTH and path.is_dir())
    return folders[0] if folders else None


def _with_masks(
    images: list[LabelledImage], tests: Path, masks: list[tuple[Path, Path]]
) -> tuple[list[LabelledImage], list[Path]]:
    """The images with their masks, and the masks that belong to none; each mask comes with its place."""
    rows: dict[_Key, list[int]] = defaultdict(list)
    for row, image in enumerate(images):
        place = image.path.relative_to(tests)
        rows[place.parent.as_posix().lower(), place.stem.lower()].append(row)
    taken: dict[int, Path] = {}
    stray = []
    for path, place in masks:
        inner = place.relative_to(place.parts[0]) if place.parts[0].lower() == GROUND_TRUTH else place
        key, mask = _owner(path, inner, rows)
        mine = [row for row in rows.get(key, []) if taken.get(row, mask) == mask] if key else []
        taken |= dict.fromkeys(mine, mask)
        if not mine:
            stray.append(path)
    return [replace(image, mask=taken.get(row)) for row, image in enumerate(images)], stray


def _owner(path: Path, place: Path, rows: dict[_Key, list[int]]) -> tuple[_Key | None, Path]:
    """Whose mask it is, and what stands for it: itself, or the folder of all masks of its image."""
    parent = place.parent.as_posix().lower()
    for stem in mask_stems(place.stem):
        if (parent, stem) in rows:
            return (parent, stem), path
    folder = (place.parent.parent.as_posix().lower(), place.parent.name.lower())
    return (folder, path.parent) if folder in rows else (None, path)


def _from_csv(source: Path) -> DataSet:
    try:
        with source.open(
            newline="", encoding="utf-8-sig"
        ) as file:  # spreadsheets put a byte order mark there
            reader = csv.DictReader(file)
            header, rows = list(reader.fieldnames or []), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"data set {source}: cannot be read as CSV: {error}") from error
    if not header:
        raise InputError(f"data set {source}: is empty, expected the columns path and label")
    if len(header) == 1 and ";" in header[0]:
        raise InputError(f"data set {source}: its columns are separated by ';', expected ','")
    return DataSet([_row(source, line, row) for line, row in enumerate(rows, start=2)])


def _row(source: Path, line: int, row: dict[str, str]) -> LabelledImage:
    where = f"data set {source}, line {line}"
    if not row.get("path") or not row.get("label"):
        raise InputError(f"{where}: expected the columns path and label, got {dict(row)}")
    path, mask = source.parent / row["path"], source.parent / row["mask"] if row.get("mask") else None
    for what, file in (("image", path), ("mask", mask)):
        if file is not None and not file.is_file():
            raise InputError(f"{where}: {what} {file} not found")
    return LabelledImage(path, row["label"], mask, row.get("part") or None)
