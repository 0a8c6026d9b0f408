"""`inspectd bank accept`: images unlike the rest that show good parts count in the threshold from now on."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

from inspectd.bank.answers import accept, row_of
from inspectd.bank.collect import pixel_digest
from inspectd.bank.file import read_bank, write_bank
from inspectd.cli.bank_common import print_names
from inspectd.errors import ExitCode, InputError
from inspectd.pictures.depth import PictureError
from inspectd.pictures.reading import read_picture
from inspectd.text import json_line

_SHA256: Final = re.compile("[0-9a-fA-F]{6,64}")


def main(arguments: argparse.Namespace) -> int:
    """Accept images, find the threshold again, and write the bank."""
    path, bank = arguments.bank, read_bank(arguments.bank)
    before = bank.manifest
    rows = [
        row_of(path, bank, image_sha256(word, before.bit_depth), word)
        for word in dict.fromkeys(arguments.image)
    ]
    after = accept(path, bank, rows, arguments.threshold)
    sha256 = bank.sha256 if after == before else write_bank(path, after, bank.tensors)
    if arguments.json:
        values = {
            "threshold_before": before.threshold,
            "threshold": after.threshold,
            "threshold_basis": after.threshold_basis,
            "unanswered": after.unanswered,
            "sha256_before": bank.sha256,
            "sha256": sha256,
        }
        print(json_line(values))
        return ExitCode.OK
    if after == before:
        print(f"{path}: unchanged, they were accepted before")
        return ExitCode.OK
    print(f"threshold {before.threshold:.4f} -> {after.threshold:.4f} ({after.threshold_basis})")
    print(f"{path}: written, sha256 {bank.sha256[:12]} -> {sha256[:12]}")
    print_names("unlike the rest, not answered yet", after.unanswered)
    print(f"next: inspectd check FILE, then restart the line that uses {path}")
    return ExitCode.OK


def image_sha256(word: str, bit_depth: int) -> str:
    """The sha256 of an image's pixels in hexadecimal, from its file; or its first digits, if that is given.

    Raises:
        InputError: it is neither.
    """
    path = Path(word)
    if path.is_file():
        try:
            return pixel_digest(read_picture(path, bit_depth)).tobytes().hex()
        except PictureError as error:
            raise InputError(f"{word}: {error}") from error
    if _SHA256.fullmatch(word):
        return word.lower()
    raise InputError(f"{word}: expected an image file, or at least the first 6 digits of its sha256")
