"""A bank as it would judge with some rows of another one beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from inspectd.bank.file import BankFile, Manifest, Tensors

_ROWS: Final = "detector.bank"
_SPACING: Final = "detector.spacing"
_LISTS: Final = "detector.lists"


def with_rows(bank: BankFile, other: BankFile, rows: Sequence[int]) -> tuple[Manifest, Tensors]:
    """Manifest and tensors of a bank with rows of another one, to be written as any bank.

    Its own rows, what their distances are divided by, its positions, head and threshold stay. So what is
    added can only bring scores down.

    Args:
        bank: of a PatchCore.
        other: of the same backbone and settings.
        rows: of that one.
    """
    added = list(rows)
    # Lists name rows by their numbers, and only make a search faster.
    tensors = {name: array for name, array in bank.tensors.items() if name != _LISTS}
    for name in (_ROWS, _SPACING):
        tensors[name] = np.concatenate([bank.tensors[name], other.tensors[name][added]])
    return msgspec.structs.replace(bank.manifest, rows=bank.manifest.rows + len(added)), tensors
