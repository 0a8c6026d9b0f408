"""`inspectd bank review`: a page of a bank's images unlike the rest, and of the thresholds to choose from."""

from __future__ import annotations

import argparse

from inspectd.bank.file import good_scores, read_bank
from inspectd.bank.images import named_image
from inspectd.cli.bank_common import Steps
from inspectd.errors import ExitCode
from inspectd.evaluation.budgets import choice_of
from inspectd.evaluation.review import Pictures, keep_pictures, write_review
from inspectd.pictures.folder import list_pictures


def main(arguments: argparse.Namespace) -> int:
    """Find the images in the folder, and write the page."""
    bank = read_bank(arguments.bank)
    good_scores(arguments.bank, bank)  # raises where it holds none
    wanted = {image.sha256 for image in choice_of(bank).unlike_the_rest}
    paths = list_pictures(arguments.images).pictures if wanted else []
    pictures: Pictures = {}
    with Steps() as steps:
        frames = (named_image(path, bank.manifest.bit_depth) for path in paths)
        kept = keep_pictures(frames, pictures, bank.manifest.patch_options.region, wanted)
        for done, _ in enumerate(kept, start=1):
            steps("images", done, len(paths))
    write_review(arguments.out, arguments.bank, bank, pictures, arguments.images)
    missing = len(wanted) - len(pictures)
    if missing:
        print(f"{missing} of {len(wanted)} images unlike the rest are not in {arguments.images}: no picture")
    print(f"review: {arguments.out}")
    return ExitCode.OK
