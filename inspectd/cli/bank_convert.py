"""`inspectd bank convert`: builds a bank again in another precision, from the images it was built from."""

from __future__ import annotations

import argparse
import sys

from inspectd.bank.answers import refuse_other_rule
from inspectd.bank.file import read_bank
from inspectd.cli.bank_rebuilt import rebuild_and_write
from inspectd.errors import ExitCode
from inspectd.pictures.folder import list_pictures
from inspectd.text import printable


def main(arguments: argparse.Namespace) -> int:
    """Build the bank in the precision, show what changes, and write it if the user says so."""
    path, bank = arguments.bank, read_bank(arguments.bank)
    if bank.manifest.precision == arguments.precision:
        print(printable(f"{path}: is in {arguments.precision} already; nothing is changed"), file=sys.stderr)
        return ExitCode.OK
    if not arguments.replace_threshold:
        advice = "--replace-threshold, as another precision has other scores; calibrate again afterwards"
        refuse_other_rule(path, bank, advice)
    images = list_pictures(arguments.images).pictures
    return rebuild_and_write(path, bank, images, arguments, precision=arguments.precision)
