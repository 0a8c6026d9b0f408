"""`inspectd bank sensitivity`: the sizes of synthetic defects that a bank finds."""

from __future__ import annotations

import argparse
import sys

import msgspec
from rich.table import Table

from inspectd.cli import output
from inspectd.cli.bank_common import MOST_PASTES, Steps, print_names
from inspectd.cli.bank_evaluate import share
from inspectd.cli.output import cell
from inspectd.errors import ExitCode, InputError
from inspectd.evaluation.sensitivity import Sensitivity, measure_sensitivity
from inspectd.evaluation.sensitivity_report import (
    HEADINGS,
    place_text,
    size_text,
    table_row,
    write_sensitivity_report,
)
from inspectd.pictures.folder import described, list_good_pictures
from inspectd.text import json_line

_FEWEST_PASTES = 10
_PLACES_SHOWN = 5


def main(arguments: argparse.Namespace) -> int:
    """Draw synthetic defects, print what is found, and write the report."""
    if not _FEWEST_PASTES <= arguments.pastes <= MOST_PASTES:
        raise InputError(f"--pastes: got {arguments.pastes}, expected {_FEWEST_PASTES} to {MOST_PASTES}")
    if arguments.seed < 0:
        raise InputError(f"--seed: got {arguments.seed}, expected 0 or more")
    scale = arguments.mm_per_pixel
    if scale is not None and not 0 < scale < 1e6:
        raise InputError(f"--mm-per-pixel: got {scale:g}, expected a number above 0")
    found = list_good_pictures(arguments.images)
    with Steps() as steps:
        run = measure_sensitivity(
            arguments.bank, found.pictures, device=arguments.device, progress=steps, each=arguments.pastes,
            seed=arguments.seed, false_reject_rate=arguments.false_reject_rate, mm_per_pixel=scale,
        )  # fmt: skip
    if arguments.report is not None:
        write_sensitivity_report(arguments.report, run, f"{arguments.bank.name}: what it finds")
    if run.result.from_the_bank is None:
        print(
            "the bank does not record the images it was built from, so any of these may be among them; build "
            "it again to know",
            file=sys.stderr,
        )
    if arguments.json:
        print(json_line({**msgspec.to_builtins(run.result), "left_out": dict(found.left_out)}))
        return ExitCode.OK
    _print_result(run.result)
    if found.left_out:
        print(f"other files, left out: {described(found.left_out)}")
    if arguments.report is not None:
        print(f"report: {arguments.report}")
    return ExitCode.OK


def _print_result(result: Sensitivity) -> None:
    low, high = result.sizes_pixels
    print(f"threshold      {result.threshold:.4f} ({result.threshold_basis})")
    print(f"good images    {result.images} used{_not_used(result)}")
    print(f"sizes          {low:.1f} to {high:.1f} px, large from {size_text(result.large_pixels, result)}")
    print(f"large, found   {share(result.large_found)}")
    table = Table(*HEADINGS)
    for row in result.kinds:
        table.add_row(*map(cell, table_row(row, result)))
    output.console().print(table)
    blind = [place_text(spot, result.places) for spot in result.places.blind_spots()]
    print_names("where fewer large ones are found than elsewhere", blind, _PLACES_SHOWN)
    print_names("good images rejected as they are, not used", result.rejected)
    print_names("unusable, left out", [f"{name}: {why}" for name, why in result.skipped.items()])
    print("synthetic defects are not real ones: docs/sensitivity.md says how far to trust these figures")


def _not_used(result: Sensitivity) -> str:
    """Numbers of the images that were not used, for people."""
    counts = {
        "the bank was built from": len(result.from_the_bank or ()),
        "rejected as they are": len(result.rejected),
        "more than needed": result.unused,
    }
    return "".join(f", {count} {what}" for what, count in counts.items() if count)
