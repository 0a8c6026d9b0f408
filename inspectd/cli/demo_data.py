"""The demo's images: those that build the bank, and those that each camera replays."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Final

import msgspec

from inspectd.errors import InputError, UnavailableError
from inspectd.pictures.folder import NoPicturesError, list_pictures
from inspectd.text import installing

GOOD: Final = "good"
DEFECTIVE: Final = "defective"
CAMERAS: Final = ("camera1", "camera2")


class Part(msgspec.Struct, frozen=True):
    """One image and its ground truth."""

    path: Path
    label: str


class DemoData(msgspec.Struct, frozen=True):
    """Good images to build on, and labelled ones to inspect."""

    name: str
    train: list[Path]
    replay: list[Part]


def solar_cells() -> DemoData:
    """The monocrystalline cells of PyPI's `elpv-dataset`, real electroluminescence images.

    Of the cells without a defect (probability 0), in the order of their file names, every other one
    builds the bank; the rest and the cells that are surely defective (probability 1) are inspected.

    Raises:
        InputError: the package is not installed, or holds something else.
    """
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the demo's images are not installed. Install them with: {installing('demo')}\n"
            "or give a folder of your own: inspectd demo --images DIR (with train/good and test/*)"
        )
    data = Path(spec.submodule_search_locations[0]) / "data"
    try:
        rows = [line.split() for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines()]
        cells = sorted((name, float(probability)) for name, probability, kind in rows if kind == "mono")
    except (OSError, ValueError) as error:
        raise InputError(f"{data / 'labels.csv'}: is not elpv-dataset's list of cells: {error}") from error
    good = [data / name for name, probability in cells if probability == 0.0]
    defective = [data / name for name, probability in cells if probability == 1.0]
    replay = [Part(path, GOOD) for path in good[1::2]] + [Part(path, DEFECTIVE) for path in defective]
    return DemoData("solar cells", good[::2], replay)


def own_folder(folder: Path) -> DemoData:
    """A folder laid out as MVTec AD's: `train/good` builds the bank, `test/<label>` is inspected.

    Raises:
        InputError: the folder is not laid out so, or a part of it holds no image.
    """
    if not folder.is_dir():
        raise InputError(f"--images {folder}: is not a folder; expected one with train/good and test/* in it")
    train = _images(folder / "train" / GOOD)
    labels = sorted(path for path in (folder / "test").glob("*") if path.is_dir())
    replay = [Part(path, label.name) for label in labels for path in _images(label)]
    for part, images in (("train/good", train), ("test/*", replay)):
        if not images:
            raise InputError(
                f"--images {folder}: found no image in {part}; expected good ones to learn "
                f"from in train/good, and ones to inspect in test/good and test/<kind of defect>"
            )
    return DemoData(folder.resolve().name, train, replay)


def lay_out(data: DemoData, folder: Path) -> None:
    """Link the images into `train/` and one folder per camera, labels as sub-folders; replaces `folder`.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    links = [(folder / "train" / path.name, path) for path in data.train]
    seen: dict[str, int] = {}
    for part in data.replay:
        position = seen[part.label] = seen.get(part.label, -1) + 1
        camera = CAMERAS[position % len(CAMERAS)]
        links.append((folder / camera / part.label / part.path.name, part.path))
    try:
        if folder.exists():
            shutil.rmtree(folder)
        for link, target in links:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target.resolve())
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot link the demo's images here: {error}") from error


def _images(folder: Path) -> list[Path]:
    """The pictures of parts in a folder, without subfolders."""
    try:
        return [path for path in list_pictures(folder).pictures if path.parent == folder]
    except NoPicturesError:
        return []
