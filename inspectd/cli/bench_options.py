"""Options that both kinds of `inspectd bench` read."""

from __future__ import annotations

import argparse
from typing import Final

from inspectd.bench.subject import Synthetic
from inspectd.cli.numbers import numbers, size
from inspectd.errors import InputError
from inspectd.model.options import PatchCoreOptions

DEFAULT_BATCHES: Final = "1,2,4,8,16,32"
SCORING: Final = ("device", "threads", "backend", "search")
"""Options that are settings of the scoring process too."""
_SYNTHETIC_ONLY: Final = ("backbone", "layers", "weights", "grid", "size", "bank", "recipe", "precision")
_PUBLISHED: Final = PatchCoreOptions(local_scale=False, position_weight=0.0)
"""Roth et al.: distances as they are, at every position alike."""


def synthetic_bank(arguments: argparse.Namespace) -> Synthetic:
    """The synthetic bank that the options describe.

    Raises:
        InputError: an option cannot be used.
    """
    height, width = size("--size", arguments.size or "256")
    bank = numbers("--bank", arguments.bank or "3072,152")
    if len(bank) != 2:
        raise InputError(f"--bank: got {arguments.bank!r}, expected ROWS,DIMS, e.g. 3072,152")
    return Synthetic(
        backbone=arguments.backbone,
        layers=tuple(arguments.layers.split(",")) if arguments.layers else None,
        weights=arguments.weights,
        grid=arguments.grid or "coarse",
        height=height,
        width=width,
        rows=bank[0],
        dims=bank[1],
        precision=arguments.precision or "float32",
        options=_PUBLISHED if arguments.recipe == "published" else PatchCoreOptions(),
    )


def refuse_both_banks(arguments: argparse.Namespace) -> None:
    """Refuse a bank file together with the options of a synthetic one.

    Raises:
        InputError: both are given.
    """
    given = [f"--{name}" for name in _SYNTHETIC_ONLY if getattr(arguments, name) is not None]
    if arguments.file is not None and given:
        raise InputError(
            f"{', '.join(given)}: for a synthetic bank, but {arguments.file} is given; leave one out"
        )
