"""`inspectd bank calibrate`: a threshold for a stated false-reject rate."""

from __future__ import annotations

import argparse

import msgspec

from inspectd.cli.bank_common import Steps, print_names
from inspectd.cli.bank_evaluate import share
from inspectd.errors import ExitCode
from inspectd.evaluation.recalibrate import Recalibration, recalibrate
from inspectd.pictures.folder import described, list_pictures
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Calibrate a bank; exit 1 where the images cannot show the rate asked for."""
    given = {"images": arguments.images, "defects": arguments.defects}
    folders = {name: list_pictures(folder) for name, folder in given.items() if folder is not None}
    with Steps() as steps:
        result = recalibrate(
            arguments.bank,
            folders["images"].pictures if "images" in folders else None,
            folders["defects"].pictures if "defects" in folders else [],
            arguments.false_reject_rate,
            device=arguments.device,
            progress=steps,
            write=not arguments.dry_run,
            keep_outliers=arguments.keep_outliers,
        )
    if arguments.json:
        left_out = {name: dict(listing.left_out) for name, listing in folders.items()}
        print(json_line({**msgspec.to_builtins(result), "left_out": left_out}))
    else:
        _print_result(arguments, result)
        for name, listing in folders.items():
            if listing.left_out:
                print(f"left out of --{name}: {described(listing.left_out)}")
    return ExitCode.OK if result.calibration.achieved else ExitCode.FAILED


def _print_result(arguments: argparse.Namespace, result: Recalibration) -> None:
    found = result.calibration
    own = "the bank does not record its own images, so any of these may be among them"
    if result.own_images_recorded:
        own = f"{result.from_the_bank} of the bank's own, by cross-fitted scores"
    print(f"good images        {found.images} ({own})")
    if not found.achieved:
        missing = found.images_needed - found.images
        needed = f"at least {found.images_needed} good images, {missing} more"
        best = f"{found.shown_rate:.4%} at 95 % confidence, with threshold {found.threshold:.4f}"
        print(f"asked rate         {found.asked_rate:.4%} cannot be shown with so few images")
        print(f"best shown         {best}")
        print(f"needed             {needed}; the bank is unchanged")
    else:
        print(f"threshold          {found.threshold:.4f}")
        print(f"shown rate         {found.shown_rate:.4%} at 95 % confidence, asked {found.asked_rate:.4%}")
        print(f"least for the rate {found.images_needed} good images")
        print(f"bank               {'written' if result.written else 'unchanged (--dry-run)'}")
    if result.escapes is not None:
        print(f"escapes            {share(result.escapes)}")
    if result.outliers:
        print_names(_outliers(result), result.outliers)
    print_names(
        "the bank was built from these defective images as good ones, and they are judged by the scores they "
        "had while they were left out: take them out and build again",
        result.defects_from_the_bank,
    )
    for path, why in result.skipped.items():
        print(f"skipped: {path}: {why}")
    if result.written:
        print(f"next: inspectd check FILE, then restart the line that uses {arguments.bank}")


def _outliers(result: Recalibration) -> str:
    if result.outliers_count:
        return "good images unlike the rest, counted in the threshold (--keep-outliers)"
    return (
        "good images unlike the rest, set aside: "
        f"with them the threshold would be {result.threshold_with_outliers:.4f}; "
        f"if they are good after all, the rate shown is {result.shown_rate_with_outliers:.4%}. "
        "Remove defects, or vouch for good ones with --keep-outliers"
    )
