"""`inspectd bank accept`: images unlike the rest that show good parts count in the threshold from now on."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

from inspectd.bank.answers import accept, row_of
from inspectd.bank.file import BankFile, read_bank
from inspectd.bank.images import digest_of
from inspectd.bank.reach import refuse_unmeant
from inspectd.cli.bank_common import print_names, write_if_agreed
from inspectd.errors import ExitCode, InputError
from inspectd.files import is_file
from inspectd.pictures.depth import PictureError
from inspectd.pictures.reading import read_picture
from inspectd.text import json_line

_SHA256: Final = re.compile("[0-9a-fA-F]{6,64}")


def main(arguments: argparse.Namespace) -> int:
    """Accept images, show what it does to the threshold, and write the bank if the user says so."""
    path, bank = arguments.bank, read_bank(arguments.bank)
    before = bank.manifest
    rows = [
        row_of(path, bank, image_sha256(word, before.bit_depth), word)
        for word in dict.fromkeys(arguments.image)
    ]
    after = accept(path, bank, rows, arguments.threshold)
    if after.threshold != before.threshold:
        refuse_unmeant(path, BankFile(after, bank.tensors, bank.sha256), after.threshold)
    is_new = after != before
    if is_new and not arguments.json:
        print(f"threshold {before.threshold:.4f} -> {after.threshold:.4f} ({after.threshold_basis})")
        print_names("unlike the rest, not answered yet", after.unanswered)
    sha256 = write_if_agreed(path, bank, after, bank.tensors, arguments) if is_new else None
    if arguments.json:
        values = {
            "threshold_before": before.threshold,
            "threshold": after.threshold,
            "threshold_basis": after.threshold_basis,
            "unanswered": after.unanswered,
            "sha256_before": bank.sha256,
            "sha256": sha256,
            "written": sha256 is not None,
        }
        print(json_line(values))
    elif not is_new:
        print(f"{path}: unchanged, they were accepted before")
    return ExitCode.FAILED if is_new and sha256 is None else ExitCode.OK


def image_sha256(word: str, bit_depth: int) -> str:
    """The sha256 of an image's pixels in hexadecimal, from its file; or its first digits, if that is given.

    Raises:
        InputError: it is neither.
    """
    if _SHA256.fullmatch(word):
        return word.lower()
    path = Path(word)
    if is_file(path):
        try:
            return digest_of(read_picture(path, bit_depth))
        except PictureError as error:
            raise InputError(f"{word}: {error}") from error
    raise InputError(
        f"{word}: no such file; expected the path of an image, or the first 6 digits of its sha256 or more"
    )
