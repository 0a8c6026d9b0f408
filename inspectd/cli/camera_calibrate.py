"""`inspectd camera calibrate`: a calibration of lens and perspective from pictures of a board."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.capture.geometry.board import (
    FAIR_PIXELS,
    GOOD_PIXELS,
    Board,
    BoardCorners,
    CharucoBoard,
    Chessboard,
    SolvedLens,
    seen_from_above,
    solve_lens,
)
from inspectd.capture.geometry.calibration import CalibrationError, LensCalibration, write_calibration
from inspectd.capture.geometry.picture import PictureGeometry
from inspectd.cli.bank_common import Steps, print_table
from inspectd.config import GeometrySettings
from inspectd.errors import ExitCode, InputError
from inspectd.files import is_there
from inspectd.pictures.depth import PictureError
from inspectd.pictures.drawing import write_image
from inspectd.pictures.folder import list_pictures
from inspectd.pictures.panels import Panel, page_of
from inspectd.pictures.reading import decode_recorded, read_bytes
from inspectd.text import counted, json_line, printable

_ENOUGH_COVERED: Final = 0.8


class PictureOfBoard(msgspec.Struct, frozen=True):
    """One picture, and what came of it.

    Attributes:
        name: of its file.
        corners: of the board, found in it.
        error_pixels: by which they are missed; None where it was left out.
        verdict: `good`, `fair` or `poor`, or the reason why it was left out.
    """

    name: str
    corners: int
    error_pixels: float | None
    verdict: str


class _Flat(NamedTuple):
    corners: BoardCorners
    shape: tuple[int, int]
    """Height and width of the picture."""


def main(arguments: argparse.Namespace) -> int:
    """Find the board, work out the lens, write the calibration and a picture of the corrected board.

    Raises:
        InputError: an option or a picture cannot be used, or the pictures give no calibration.
        UnavailableError: a file cannot be written.
    """
    board = _board(arguments)
    page = arguments.picture or arguments.out.with_suffix(".png")
    if page.suffix.lower() != ".png" or page == arguments.out:
        raise InputError(f"--picture: got {page}, expected another name than --out, ending in .png")
    for path in (arguments.out, page):
        if is_there(path):  # a line may run by it, and would take it up with its camera's next start
            raise InputError(f"{path}: already exists, not overwritten; name another file")
    flat = None if arguments.plane is None else _flat(arguments.plane, board, arguments.bit_depth)
    paths = list_pictures(arguments.folder).pictures
    with Steps() as steps:
        rows, found, shape = _search(paths, board, arguments.bit_depth, steps)
    try:
        _refuse_sizes(len(rows), shape, flat)
        lens = solve_lens(board, found, *shape)
        calibration = lens.calibration
        if flat is not None:
            calibration = seen_from_above(lens.calibration, flat.corners)
    except CalibrationError as error:
        _print_pictures(rows, arguments)
        raise CalibrationError(f"{arguments.folder}: {error}; nothing was written") from error
    rows = _judged(rows, lens)
    notes = {"reprojection_error_pixels": lens.error_pixels, "pictures": float(len(found))}
    write_calibration(arguments.out, calibration, notes)
    shown = arguments.plane or paths[next(i for i, row in enumerate(rows) if row.error_pixels is not None)]
    write_image(page, _page(_read(shown, arguments.bit_depth), calibration, lens))
    _print(arguments, rows, lens, calibration, page)
    return ExitCode.OK


def _board(arguments: argparse.Namespace) -> Board:
    sides = re.fullmatch(r"([0-9]{1,2})[xX]([0-9]{1,2})", arguments.board)
    columns, rows = (int(side) for side in sides.groups()) if sides else (0, 0)
    if min(columns, rows) < 3:
        raise InputError(
            f"--board: got {arguments.board!r}, expected COLUMNSxROWS, each 3 to 99, such as 9x6"
        )
    if not 0.01 <= arguments.square_mm <= 10_000:
        raise InputError(f"--square-mm: got {arguments.square_mm:g}, expected 0.01 to 10000")
    if (arguments.markers is None) != (arguments.marker_mm is None):
        raise InputError("--markers, --marker-mm: expected both or none")
    if arguments.markers is None:
        return Chessboard(columns, rows, arguments.square_mm)
    if not 0 < arguments.marker_mm < arguments.square_mm:
        raise InputError(f"--marker-mm: got {arguments.marker_mm:g}, expected less than --square-mm")
    return CharucoBoard(columns, rows, arguments.square_mm, arguments.marker_mm, arguments.markers)


def _search(
    paths: Sequence[Path], board: Board, bit_depth: int, steps: Steps
) -> tuple[list[PictureOfBoard], list[BoardCorners], tuple[int, int]]:
    """What came of each picture, the corners of those that count, and their height and width."""
    rows: list[PictureOfBoard] = []
    found: list[BoardCorners] = []
    shape = (0, 0)
    for done, path in enumerate(paths, start=1):
        corners, verdict = None, ""
        try:
            pixels = _read(path, bit_depth)
        except PictureError as error:
            verdict = f"left out: {error}"
        else:
            shape = pixels.shape[:2] if shape == (0, 0) else shape
            if pixels.shape[:2] != shape:
                verdict = f"left out: {_size(pixels.shape)}, others are {_size(shape)}"
            else:
                corners = board.find(_grey(pixels))
                verdict = "left out: the board was not found" if corners is None else ""
        if corners is not None:
            found.append(corners)
        rows.append(PictureOfBoard(path.name, 0 if corners is None else len(corners.pixels), None, verdict))
        steps("pictures", done, len(paths))
    return rows, found, shape


def _flat(path: Path, board: Board, bit_depth: int) -> _Flat:
    """What is seen of the board where parts lie."""
    try:
        pixels = _read(path, bit_depth)
    except PictureError as error:
        raise CalibrationError(f"--plane: {path}: {error}") from error
    corners = board.find(_grey(pixels))
    if corners is None:
        raise CalibrationError(f"--plane: {path}: the board was not found in it; {board.to_be_found}")
    return _Flat(corners, pixels.shape[:2])


def _read(path: Path, bit_depth: int) -> NDArray[np.uint8]:
    return decode_recorded(read_bytes(path), bit_depth)


def _refuse_sizes(pictures: int, shape: tuple[int, int], flat: _Flat | None) -> None:
    if shape == (0, 0):
        raise CalibrationError(f"{counted(pictures, 'picture')}, and none can be read")
    if flat is not None and flat.shape != shape:
        raise CalibrationError(f"--plane: its picture is {_size(flat.shape)}, the others are {_size(shape)}")


def _judged(rows: Sequence[PictureOfBoard], lens: SolvedLens) -> list[PictureOfBoard]:
    errors = iter(lens.picture_errors_pixels)
    judged = []
    for row in rows:
        if row.verdict:
            judged.append(row)
            continue
        error = next(errors)
        judged.append(msgspec.structs.replace(row, error_pixels=round(error, 3), verdict=_verdict(error)))
    return judged


def _verdict(error_pixels: float) -> str:
    if error_pixels <= GOOD_PIXELS:
        return "good"
    return "fair" if error_pixels <= FAIR_PIXELS else "poor, better without it"


def _page(pixels: NDArray[np.uint8], calibration: LensCalibration, lens: SolvedLens) -> NDArray[np.uint8]:
    """The board before and after."""
    geometry = PictureGeometry(GeometrySettings(calibration="of the board"), calibration)
    line = f"reprojection error {lens.error_pixels:.2f} pixels; the board's lines have to be straight"
    if calibration.mm_per_pixel is not None:
        line += f", its squares square: {calibration.mm_per_pixel:.4f} mm a pixel"
    panels = [Panel("as the camera sees it", pixels), Panel("corrected", geometry.apply(pixels))]
    return page_of(panels, [line])


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)


def _print_pictures(rows: Sequence[PictureOfBoard], arguments: argparse.Namespace) -> None:
    if arguments.json:
        return
    table = [
        (printable(row.name), str(row.corners), "" if row.error_pixels is None else f"{row.error_pixels:.2f}",
         printable(row.verdict))
        for row in rows
    ]  # fmt: skip
    print_table(("picture", "corners", "error in pixels", "verdict"), table)


def _print(
    arguments: argparse.Namespace,
    rows: Sequence[PictureOfBoard],
    lens: SolvedLens,
    calibration: LensCalibration,
    page: Path,
) -> None:
    if arguments.json:
        facts = {
            "out": str(arguments.out),
            "picture": str(page),
            "error_pixels": round(lens.error_pixels, 4),
            "covered": round(lens.covered, 3),
            "mm_per_pixel": calibration.mm_per_pixel,
            "pictures": list(rows),
        }
        print(json_line(facts))
        return
    _print_pictures(rows, arguments)
    count, error = len(lens.picture_errors_pixels), lens.error_pixels
    print(f"reprojection error {error:.2f} pixels over {count} pictures: {_verdict(error)}")
    if lens.covered < _ENOUGH_COVERED:
        print(
            f"corners were seen in {lens.covered:.0%} of the picture only, elsewhere the correction is a "
            "guess: take pictures with the board at the edges and in the corners too"
        )
    if calibration.mm_per_pixel is not None:
        print(f"seen from straight above, {calibration.mm_per_pixel:.4f} mm a pixel in the plane of --plane")
    print(f"{arguments.out}: written; the corrected board: {page}")
    print(f'next: calibration = "{arguments.out}" under [cameras.geometry], then `inspectd camera preview`,')
    print("and a new bank: one that was built from uncorrected pictures does not fit corrected ones")
