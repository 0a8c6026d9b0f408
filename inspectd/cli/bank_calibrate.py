"""`inspectd bank calibrate`: a threshold for a stated false-reject rate."""

from __future__ import annotations

import argparse

import msgspec

from inspectd.bank.recalibrate import Recalibration, recalibrate
from inspectd.cli.bank_common import Steps
from inspectd.cli.bank_evaluate import share
from inspectd.errors import ExitCode
from inspectd.pictures.folder import described, list_pictures


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
        )
    if arguments.json:
        left_out = {name: dict(listing.left_out) for name, listing in folders.items()}
        print(msgspec.json.encode({**msgspec.to_builtins(result), "left_out": left_out}).decode())
    else:
        _print_result(arguments, result)
        for name, listing in folders.items():
            if listing.left_out:
                print(f"left out of --{name}: {described(listing.left_out)}")
    return ExitCode.OK if result.calibration.achieved else ExitCode.FAILED


def _print_result(arguments: argparse.Namespace, result: Recalibration) -> None:
    found = result.calibration
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
    for path, why in result.skipped.items():
        print(f"skipped: {path}: {why}")
    if result.written:
        print(f"next: inspectd check FILE, then restart the line that uses {arguments.bank}")
