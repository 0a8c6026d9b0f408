"""Parts with a known truth: real cells, good or with a gross defect, each picture unique."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from support.cells import cells

from inspectd import cli
from inspectd.bank.file import read_bank
from inspectd.errors import ExitCode

SIDE: Final = 128
_NUMBER_BITS: Final = 32
_GOOD_CELLS: Final = 24


@dataclass(frozen=True)
class Picture:
    """A camera's picture of one part. `pixels` is `(128, 128, 3) uint8 BGR`."""

    good: bool
    pixels: NDArray[np.uint8]

    @property
    def sha256(self) -> str:
        """SHA-256 of the pixels, row by row."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    def write(self, file: Path) -> None:
        """Put the picture at `file` in one step, without loss."""
        new = file.with_name(f".{file.name}.new")
        encoded = cv2.imencode(".png", self.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
        new.write_bytes(encoded.tobytes())
        new.rename(file)


class PartSource:
    """Makes parts in a random order that a seed names; so large a share of them is good."""

    def __init__(self, seed: int, good_share: float = 0.75) -> None:
        self._random = random.Random(seed)
        self._good_share = good_share
        self._cells = _good_cells()
        self._number = 0

    def next(self, *, good: bool | None = None) -> Picture:
        """Another part; good or bad by chance unless given. No two have equal pixels."""
        self._number += 1
        good = self._random.random() < self._good_share if good is None else good
        pixels = self._random.choice(self._cells).copy()
        if not good:
            pixels = _spoiled(pixels, self._random.randrange(2**32))
        return Picture(good, _numbered(pixels, self._number))


def write_pictures(folder: Path, count: int) -> Path:
    """Fill a new folder with pictures for a free-running camera; a bad part's name begins with `bad-`."""
    folder.mkdir(parents=True)
    source = PartSource(1)
    for number in range(count):
        picture = source.next()
        picture.write(folder / f"{'good' if picture.good else 'bad'}-{number:02}.png")
    return folder


def _good_cells() -> list[NDArray[np.uint8]]:
    images = [cv2.imread(str(path)) for path in cells(defective=False)[: 2 * _GOOD_CELLS : 2]]
    return [np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)) for image in images]


def _spoiled(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """A quarter of the part is noise: no bank of good cells takes it for one."""
    noise = np.random.default_rng(seed).integers(0, 256, (SIDE // 2, SIDE // 2, 3), np.uint8)
    pixels = pixels.copy()
    pixels[SIDE // 4 : SIDE * 3 // 4, SIDE // 4 : SIDE * 3 // 4] = noise
    return pixels


def _numbered(pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """Write the number into lowest bits of the first row: seen by a hash, by no detector."""
    bits = np.array([number >> bit & 1 for bit in range(_NUMBER_BITS)], np.uint8)
    pixels[0, :_NUMBER_BITS, 0] = (pixels[0, :_NUMBER_BITS, 0] & 0xFE) | bits
    return pixels


@dataclass(frozen=True)
class Bank:
    """A bank of good parts, and a threshold far from both good and bad ones."""

    file: Path
    threshold: float

    @property
    def sha256(self) -> str:
        """The bank's digest: what every valid verdict names."""
        return read_bank(self.file).sha256


def build_bank(folder: Path) -> Bank:
    """Build a small bank with the real command and place its threshold.

    Raises:
        RuntimeError: it cannot be built, or good and bad parts lie too close together to judge a daemon by.
    """
    images = folder / "good"
    images.mkdir(parents=True)
    for number, pixels in enumerate(_good_cells()):
        cv2.imwrite(str(images / f"{number:02}.png"), pixels)
    file = folder / "parts.safetensors"
    command = ["bank", "build", "--tune", "off", "--images", str(images), "--out", str(file), "--pastes", "0"]
    command += ["--precision", "float32", "--size", str(SIDE), "--coreset", "500"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(command)  # here: placing the threshold takes torch in this process too
    if code != ExitCode.OK:
        raise RuntimeError(said.getvalue())
    return Bank(file, _threshold(file))


def _threshold(file: Path) -> float:
    from inspectd.backends.scorer import Scorer  # noqa: PLC0415 - torch; only who builds a bank waits for it

    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    scorer = Scorer.load(file, "cpu")
    source = PartSource(0)
    score = {
        good: [scorer.score([source.next(good=good).pixels])[0].image_score for _ in range(20)]
        for good in (True, False)
    }
    highest_good, lowest_bad = max(score[True]), min(score[False])
    if lowest_bad < 1.5 * highest_good:
        raise RuntimeError(f"good parts score up to {highest_good}, bad ones from {lowest_bad}")
    return (highest_good + lowest_bad) / 2
