"""`inspectd bank exclude`: builds a bank again without some of its images, once its effect was shown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from inspectd.bank.answers import refuse_other_rule, row_of
from inspectd.bank.file import read_bank
from inspectd.cli.bank_accept import image_sha256
from inspectd.cli.bank_rebuilt import rebuild_and_write
from inspectd.files import is_file
from inspectd.pictures.folder import list_pictures


def main(arguments: argparse.Namespace) -> int:
    """Build the bank without the images, show what changes, and write it if the user says so."""
    path, bank = arguments.bank, read_bank(arguments.bank)
    are_files = [is_file(Path(word)) for word in arguments.image]
    images = list_pictures(arguments.images).pictures
    words = dict.fromkeys(
        word if is_one else _place_of(word, images)
        for word, is_one in zip(arguments.image, are_files, strict=True)
    )
    rows = [row_of(path, bank, image_sha256(word, bank.manifest.bit_depth), word) for word in words]
    if not arguments.replace_threshold:
        advice = "--replace-threshold, as another bank has other scores; calibrate again afterwards"
        refuse_other_rule(path, bank, advice)
    return rebuild_and_write(path, bank, images, arguments, without=list(dict.fromkeys(rows)))


def _place_of(word: str, images: Sequence[Path]) -> str:
    """An image's file by its name, as reports have it, where just one of `images` has that; else the word."""
    named = [path for path in images if path.name == word]
    return str(named[0]) if len(named) == 1 else word
