"""Where the weights of a bank's backbone are."""

from __future__ import annotations

from pathlib import Path

from inspectd.bank.file import Manifest
from inspectd.model.weights import DOWNLOAD, PACKAGED, RANDOM


def weights_of(bank: Path, manifest: Manifest) -> str:
    """What `load_backbone` takes; a file lies where it did at build time, or beside the bank by its name."""
    recorded = manifest.weights
    if recorded in (PACKAGED, DOWNLOAD, RANDOM):
        return recorded
    beside = bank.parent / Path(recorded).name
    return str(beside if beside.is_file() or not Path(recorded).is_file() else recorded)
