"""`inspectd camera synthetic`: pictures of computed parts in a folder, to build and evaluate a bank on."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cv2
import msgspec
import numpy as np

from inspectd import config
from inspectd.capture.synthetic.parts import GOOD, SyntheticLine
from inspectd.cli.bank_common import Steps
from inspectd.errors import ExitCode, InputError, UnavailableError
from inspectd.files import is_folder, write_bytes
from inspectd.pictures.folder import GROUND_TRUTH

_FIRST_NUMBER: Final = 1_000_001
"""A line with the same seed begins at 1, so that it shows none of the parts its bank was built from."""
_MOST: Final = 100_000


def main(arguments: argparse.Namespace) -> int:
    """Write the folder.

    Raises:
        InputError: an option cannot be used, or the folder exists.
        UnavailableError: it cannot be written.
    """
    camera, out = _camera(arguments), arguments.out
    for name, lowest, highest in (("images", 1, _MOST), ("defects", 1, _MOST), ("seed", 0, 2**32 - 1)):
        value = getattr(arguments, name)
        if value is not None and not lowest <= value <= highest:
            raise InputError(f"--{name}: got {value}, expected {lowest} to {highest}")
    if is_folder(out) or out.exists():
        raise InputError(f"--out: {out} already exists, not overwritten; name another folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # All of it or nothing: half a set of pictures would make a bank like any other.
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as unfinished:
            folder = Path(unfinished) / "whole"
            with Steps() as steps:
                _write(folder, camera, arguments, steps)
            folder.rename(out)
    except OSError as error:
        raise UnavailableError(f"--out: {out} cannot be written: {error.strerror or error}") from error
    print(
        f"wrote {out}: {arguments.images} good parts in train, {2 * arguments.defects} parts in test\n\nNext:"
    )
    print(f"  inspectd bank build --images {out}/train/good --out plate.safetensors")
    print(f"  inspectd bank evaluate plate.safetensors --data {out} --report report.html")
    return ExitCode.OK


def _camera(arguments: argparse.Namespace) -> config.SyntheticCamera:
    """The camera whose pictures to write: of a configuration, or one with the usual settings."""
    if (arguments.name is None) != (arguments.config is None):
        raise InputError("NAME: expected --config FILE with it, the configuration that names the camera")
    camera: config.Camera = config.SyntheticCamera(name="synthetic", recipe="plate")
    if arguments.name is not None:
        camera = config.load_camera(arguments.config, arguments.name, unmeasured=True)[1]
    if not isinstance(camera, config.SyntheticCamera):
        raise InputError(f'{camera.name}: is another kind of camera, expected one with kind = "synthetic"')
    if not camera.defects:
        raise InputError(f"{camera.name}: has no kind of defects, expected cameras[].defects to name some")
    return camera if arguments.seed is None else msgspec.structs.replace(camera, seed=arguments.seed)


def _planned(camera: config.SyntheticCamera, good: int, defective: int) -> Iterator[tuple[str, str]]:
    """Part of the set and label of each picture."""
    for _ in range(good):
        yield "train", GOOD
    for index in range(defective):
        yield "test", GOOD
        yield "test", camera.defects[index % len(camera.defects)]


def _write(folder: Path, camera: config.SyntheticCamera, arguments: argparse.Namespace, steps: Steps) -> None:
    line, total = SyntheticLine(camera), arguments.images + 2 * arguments.defects
    for done, (part, label) in enumerate(_planned(camera, arguments.images, arguments.defects)):
        number = _FIRST_NUMBER + done
        shown = line.show(number, label)
        write_bytes(folder / part / label / f"{number}.png", _png(shown.pixels))
        if shown.mask is not None:
            mask = shown.mask.astype(np.uint8) * 255
            write_bytes(folder / GROUND_TRUTH / label / f"{number}_mask.png", _png(mask))
        steps("pictures", done + 1, total)


def _png(pixels: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise ValueError(f"OpenCV wrote no PNG of pixels {pixels.shape}")
    return data.tobytes()
