"""`inspectd bank evaluate`: judge a bank by labelled images."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from inspectd.bank.answers import scores_that_count
from inspectd.bank.file import GOOD_SCORES, BankFile, read_bank
from inspectd.cli.bank_common import Steps, print_names, print_table, say_own_images
from inspectd.errors import ExitCode
from inspectd.evaluation.budgets import BUDGETS, smallest_shown
from inspectd.evaluation.calibrate import Interval, calibrate, images_needed
from inspectd.evaluation.dataset import DataSet, read_dataset
from inspectd.evaluation.evaluate import (
    PARTS_COUNT,
    BankReport,
    Judgement,
    class_cells,
    class_headings,
    evaluate,
    rate_above,
)
from inspectd.evaluation.report import write_report
from inspectd.text import json_line

EMPTY_MASKS: Final = "masks that mark nothing: in no figure of pixels"
UNDECIDABLE: Final = "images a line rejects as undecidable, whatever their scores"
_BY_CHANCE: Final = 0.5
_USUAL_RATE: Final = 0.01


def main(arguments: argparse.Namespace) -> int:
    """Evaluate a bank, print its figures and write the report."""
    data = read_dataset(arguments.data, arguments.parts)
    with Steps() as steps:
        judgement = evaluate(arguments.bank, data.images, arguments.device, steps)
    if arguments.report is not None:
        write_report(arguments.report, judgement, f"{arguments.bank.name} on {arguments.data.name}")
    say_own_images(judgement.report.from_the_bank, judgement.report.images)
    if arguments.json:
        print(json_line({**msgspec.to_builtins(judgement.report), **facts(data)}))
    else:
        _print_result(judgement.report)
        for note in data.notes:
            print(note)
        if arguments.report is not None:
            print(f"report: {arguments.report}")
        for line in next_steps(arguments.bank, read_bank(arguments.bank), judgement):
            print(line)
    return ExitCode.OK


def facts(data: DataSet) -> dict[str, Any]:
    """Other files of a data set's folder, as JSON values."""
    return {"left_out": dict(data.left_out), "stray_masks": [str(path) for path in data.stray_masks]}


def next_steps(path: Path, bank: BankFile, judgement: Judgement) -> Iterator[str]:
    """A calibration that the bank's own images can show; where defects pass, first what shows how many do.

    A threshold for a rate of false rejects is often higher than that in force, and lets more defects pass.

    Args:
        path: of the bank, for its commands.
        bank: its content.
        judgement: by it.
    """
    counted = np.empty(0)
    if GOOD_SCORES in bank.tensors and bank.manifest.shows_rates:
        counted = scores_that_count(bank)
    report, command = judgement.report, f"inspectd bank calibrate {path}"
    rate = smallest_shown(len(counted), _USUAL_RATE)
    if rate is None:
        rate, passing = max(BUDGETS), report.escapes.count
        rated = f"{command} --images GOOD --false-reject-rate {rate:g} (GOOD: {images_needed(rate)} or more)"
        would = "with --defects DEFECTS --dry-run it says how many pass by its threshold, and writes nothing"
    else:
        threshold = calibrate(counted, rate).threshold
        found, rejected = (rate_above(judgement.judged, threshold, defective=kind) for kind in (True, False))
        passing = found.total - found.count
        usual = f" ({_USUAL_RATE:g} takes --images GOOD with {images_needed(_USUAL_RATE)} or more)"
        rated = f"{command} --false-reject-rate {rate:g}{usual if rate > _USUAL_RATE else ''}"
        would = (
            f"by its threshold, {threshold:.4f}, {passing} of {found.total} defects pass and "
            f"{rejected.count} of {rejected.total} good {'images' if report.parts is None else 'parts'} are "
            "rejected"
        )
    if not max(passing, report.escapes.count):
        yield f"next: {rated}"
        return
    yield (
        f"next: {command} --defects DEFECTS (thresholds to choose from, and how many defects pass; it writes "
        f"nothing. By the one in force {report.escapes.count} of {report.escapes.total} pass)"
    )
    yield f"then: {rated}: {would}"


def share(value: Interval) -> str:
    """A share with its interval, for people."""
    return f"{value.count} of {value.total} = {value.share:.1%} (95 %: {value.low:.1%} to {value.high:.1%})"


def _print_result(result: BankReport) -> None:
    print(f"image AUROC        {result.image_auroc:.4f}")
    if result.image_auroc < _BY_CHANCE:
        print(
            "  below 0.5: good images score higher than defective ones. Are the folders' labels right? A "
            "model whose values fall with defects is imported with --lower-is-worse"
        )
    print(f"average precision  {result.average_precision:.4f}")
    print(f"best F1            {result.f1_max:.4f}")
    if result.pixel_auroc is not None and result.aupro is not None:
        print(f"pixel AUROC        {result.pixel_auroc:.4f}")
        print(f"AUPRO to 0.3       {result.aupro:.4f}")
    if result.parts is not None:
        print(f"parts              {result.parts}. {PARTS_COUNT}")
    print(f"at threshold       {result.threshold:.4f}")
    print(f"  false rejects    {share(result.false_rejects)}")
    print(f"  escapes          {share(result.escapes)}")
    spent = ", ".join(f"{name} {value:.1f}" for name, value in result.latency_ms.items())
    print(f"one image, ms      {spent} ({result.device})")
    print(f"bank               {result.bank_mb:.1f} MB")
    print_table(class_headings(result), class_cells(result))
    print_names("images the bank was built from", result.from_the_bank or ())
    print_names(EMPTY_MASKS, result.empty_masks)
    print_names(UNDECIDABLE, [f"{name}: {why}" for name, why in result.undecidable.items()])
    if result.other_sizes:
        print(
            f"{result.other_sizes} images have a size the bank was not built from; the daemon judges such "
            "frames only with any_size = true"
        )
    for path, why in result.skipped.items():
        print(f"skipped: {path}: {why}")
