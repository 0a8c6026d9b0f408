"""Converts a bank to the CPU's fast path, as a process of its own: `inspectd.bank.convert BANK FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from inspectd.bank.cache import ModelCache
from inspectd.bank.fast import UNCONVERTIBLE
from inspectd.bank.reference import reference_pipeline
from inspectd.bank.store import BankFile, read_bank
from inspectd.detectors.compiled import Exported
from inspectd.detectors.export import UnconvertibleError, export
from inspectd.errors import ExitCode, InspectdError
from inspectd.ipc import child


def convert(path: Path, bank: BankFile) -> Exported | None:
    """The models of a bank; None where OpenVINO lacks a rule for something in it.

    Raises:
        BankError: the bank or its weights cannot be used.
    """
    try:
        return export(reference_pipeline(path, bank, torch.device("cpu")))
    except UnconvertibleError:
        return None


def main() -> int:
    """Write the models of the bank into a cache folder."""
    parser = argparse.ArgumentParser(prog="inspectd.bank.convert", description="Convert a bank for the CPU.")
    parser.add_argument("bank", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    child.die_with_parent()
    bank = read_bank(arguments.bank)
    models = convert(arguments.bank, bank)
    if models is None:
        return UNCONVERTIBLE
    ModelCache(arguments.folder).keep_models(bank.sha256, models)
    return ExitCode.OK


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InspectdError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
