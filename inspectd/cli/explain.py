"""`inspectd explain EVIDENCE`: score a part's saved frame again, and show where its score comes from."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from rich.table import Table

from inspectd import __version__, config
from inspectd.bank.file import read_bank
from inspectd.cli import output
from inspectd.cli.outcome_files import picture_to_write
from inspectd.cli.output import cell
from inspectd.cli.recipe_common import LineState
from inspectd.errors import BankError, ExitCode, InputError
from inspectd.evidence.pictures import explanation, read_frame, read_heatmap
from inspectd.evidence.record import FACTS, FRAME, HEATMAP, EvidenceRecord, read_record
from inspectd.pictures.drawing import write_image
from inspectd.text import json_line
from inspectd.wire import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inspectd.model.score import ImageScore

TOLERANCE: Final = 0.001
"""Largest difference of two scores, as a share of the first, that counts as the same: batches and threads
add numbers up in different orders, and heatmaps are kept in half precision."""

_PICTURE: Final = "explained.png"


class _Row(NamedTuple):
    """One thing that is compared, as the verdict has it and as it is now."""

    what: str
    then: str
    now: str
    differs: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("evidence", type=Path, help=f"a folder of evidence, or its {FACTS}")
    bank = parser.add_mutually_exclusive_group(required=True)
    bank.add_argument(
        "--config", type=Path, metavar="FILE", help="look for the bank among this line's recipes"
    )
    bank.add_argument("--bank", type=Path, metavar="FILE", help="the bank to score with")
    parser.add_argument("--device", default="auto", help='"auto", "cpu", "cuda" or "cuda:1"')
    parser.add_argument(
        "--out", type=picture_to_write, metavar="PICTURE", help=f"default: {_PICTURE} in the frame's folder"
    )
    parser.add_argument("--json", action="store_true", help="print what is compared as one JSON object")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="SHARE",
        help=f"largest difference that counts as the same score (default {TOLERANCE:g})",
    )


def main(arguments: argparse.Namespace) -> int:
    """Compare the score then with the score now; 0 when they are the same, 1 when not.

    Raises:
        InputError: the evidence cannot be read, was altered, or its bank is not found.
        UnavailableError: the device is missing, or the picture cannot be written.
    """
    folder = arguments.evidence.parent if arguments.evidence.name == FACTS else arguments.evidence
    record = read_record(folder)
    verdict = record.verdict
    pixels = read_frame(folder / FRAME)
    _refuse_altered(folder / FRAME, pixels, verdict)
    bank = arguments.bank or _find_bank(arguments.config, verdict)
    from inspectd.backends.scorer import Scorer  # noqa: PLC0415 - seconds of imports, after everything cheap

    scorer = Scorer.load(bank, arguments.device)
    seen = _looked_at(pixels, verdict)
    (now,) = scorer.score([seen])
    threshold = verdict.threshold if verdict.threshold is not None else scorer.info.threshold
    same = _is_same(verdict, now, arguments.tolerance)
    rows = [*_compared(record, folder, now, scorer.info.sha256, threshold)]
    if not arguments.json:
        _show(verdict, rows)
    out = arguments.out or folder / _PICTURE
    lines = _caption(verdict, now, threshold)
    scale = (0.5 * threshold, 1.5 * threshold)
    if threshold <= 0:
        scale = (threshold, max(float(now.heatmap.max()), threshold + 1e-9))
    write_image(out, explanation(seen, now.heatmap, scale, lines, scorer.info.region))
    if arguments.json:
        print(json_line({"same": same, "rows": [row._asdict() for row in rows]}))
        return ExitCode.FAILED if same is False else ExitCode.OK
    print(f"picture: {out}")
    if same is None:
        print("the verdict had no score to compare with")
        return ExitCode.OK
    within = f"difference at most {arguments.tolerance:g} of it"
    print(f"the same score ({within})" if same else f"a different score (expected: {within})")
    return ExitCode.OK if same else ExitCode.FAILED


def _looked_at(pixels: NDArray[np.uint8], verdict: Verdict) -> NDArray[np.uint8]:
    """What was judged of the saved frame, `(H, W, 3) uint8 BGR`: all of it, or its region.

    Raises:
        InputError: the region lies beyond it, and nothing can have been judged.
    """
    part = verdict.rectangle
    if part is None:
        return pixels
    height, width = pixels.shape[:2]
    if part.left + part.width > width or part.top + part.height > height:
        raise InputError(
            f"region {verdict.region} reaches to column {part.left + part.width} and row "
            f"{part.top + part.height} of a frame of {width}x{height}: nothing was scored"
        )
    return np.ascontiguousarray(pixels[part.top : part.top + part.height, part.left : part.left + part.width])


def _refuse_altered(file: Path, pixels: NDArray[np.uint8], verdict: Verdict) -> None:
    found = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
    if verdict.frame_sha256 not in {None, found}:
        raise InputError(
            f"{file}: is not the frame that was judged: its pixels have sha256 {found[:12]}..., "
            f"the verdict says {str(verdict.frame_sha256)[:12]}..."
        )


def _find_bank(file: Path, verdict: Verdict) -> Path:
    """The bank of that sha256 among a line's recipes; without a score, the recipe's own.

    Raises:
        InputError: it is not found.
    """
    if verdict.recipe_version is not None:
        store = LineState(file).store
        judged = store.read(verdict.recipe, verdict.recipe_version).cameras.get(verdict.place)
        if judged is None or verdict.bank_sha256 not in {None, judged.bank_sha256}:
            raise InputError(
                f"recipe {verdict.recipe}@{verdict.recipe_version} of the store of {file} has another bank "
                f"for {verdict.place} than this verdict; name it with --bank"
            )
        return store.folder(verdict.recipe, verdict.recipe_version) / judged.bank
    found = []
    for recipe in config.load(file).recipes:
        if verdict.bank_sha256 is None and recipe.name == verdict.recipe:
            return Path(recipe.bank)
        try:
            sha256 = read_bank(Path(recipe.bank)).sha256
        except BankError as error:
            found.append(str(error))
            continue
        if sha256 == verdict.bank_sha256:
            return Path(recipe.bank)
        found.append(f"{recipe.bank} is {sha256[:12]}...")
    wanted = f"sha256 {verdict.bank_sha256[:12]}..." if verdict.bank_sha256 else f"recipe {verdict.recipe!r}"
    other = "; ".join(found)
    raise InputError(
        f"no recipe of {file} has the bank of this verdict ({wanted}): {other}; name it with --bank"
    )


def _is_same(verdict: Verdict, now: ImageScore, tolerance: float) -> bool | None:
    """True if both scores are the same within the tolerance; None if the verdict had none."""
    if verdict.score is None or verdict.threshold is None:
        return None
    size = max(abs(verdict.score), abs(verdict.threshold))
    return abs(now.image_score - verdict.score) <= tolerance * size


def _compared(
    record: EvidenceRecord, folder: Path, now: ImageScore, bank_sha256: str, threshold: float
) -> Iterator[_Row]:
    verdict = record.verdict
    yield _Row("score", _number(verdict.score), _number(now.image_score))
    yield _Row("threshold", _number(verdict.threshold), _number(threshold))
    side = "fail" if not now.image_score <= threshold else "pass"
    yield _Row("evaluation", f"{verdict.evaluation} ({verdict.reason})", f"{side} by its score")
    if record.heatmap is not None:
        then = read_heatmap(folder / HEATMAP, record.heatmap)
        if then.shape == now.heatmap.shape:
            difference = float(np.abs(then - now.heatmap.astype(np.float32)).max())
            yield _Row(
                "heatmap", _number(float(then.max())), f"{now.heatmap.max():.6g}, off by {difference:.2g}"
            )
        else:
            yield _Row("heatmap", str(then.shape), str(now.heatmap.shape))
    for what, before, after in (
        ("bank", verdict.bank_sha256, bank_sha256),
        ("software", verdict.software, __version__),
    ):
        yield _Row(what, (before or "none")[:16], after[:16], differs=before not in {None, after})


def _show(verdict: Verdict, rows: list[_Row]) -> None:
    table = Table("", "then", "now")
    for row in rows:
        now_is = cell(row.now)
        now_is.append("  differs" if row.differs else "", "bold")
        table.add_row(row.what, cell(row.then), now_is)
    console = output.console()
    name = f"{verdict.plant}/{verdict.line}/{verdict.place}"
    console.print(cell(f"{name}, verdict {verdict.epoch}:{verdict.seq}"))
    console.print(table)


def _caption(verdict: Verdict, now: ImageScore, threshold: float) -> list[str]:
    name = f"{verdict.plant}/{verdict.line}/{verdict.place}  verdict {verdict.epoch}:{verdict.seq}"
    bank, frame = ((sha256 or "none")[:16] for sha256 in (verdict.bank_sha256, verdict.frame_sha256))
    return [
        f"{name}  {verdict.evaluation} ({verdict.reason})",
        f"score {_number(verdict.score)}, now {_number(now.image_score)}; threshold {_number(threshold)}",
        f"bank {bank}  frame {frame}  software {verdict.software}",
    ]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
