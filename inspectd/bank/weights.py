"""Where the weights of a bank's backbone are. No torch here."""

from __future__ import annotations

from pathlib import Path

from inspectd.bank.file import Manifest
from inspectd.errors import BankError
from inspectd.model.options import DOWNLOAD, IMPORTED, PACKAGED, RANDOM


def weights_of(bank: Path, manifest: Manifest) -> str:
    """What `load_backbone` takes; a file lies where it did at build time, or beside the bank by its name."""
    recorded = manifest.weights
    if recorded in (PACKAGED, DOWNLOAD, RANDOM):
        return recorded
    beside = bank.parent / Path(recorded).name
    return str(beside if beside.is_file() or not Path(recorded).is_file() else recorded)


def refuse_without_weights(bank: Path, manifest: Manifest) -> None:
    """Refuse a bank whose weights file is not there: it would load only while its converted model is kept.

    Raises:
        BankError: it is one.
    """
    source = weights_of(bank, manifest)
    if manifest.detector == IMPORTED or source in (PACKAGED, DOWNLOAD, RANDOM) or Path(source).is_file():
        return
    raise BankError(
        f"bank {bank}: its weights file {Path(source).name} is not there: a recipe's version holds banks "
        f"alone, so it is expected where it was when the bank was built, {manifest.weights}: put it there "
        "for good, or build the bank with it where the line has it"
    )
