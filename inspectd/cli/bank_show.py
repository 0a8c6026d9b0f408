"""`inspectd bank show`: verify a bank file and print its contents."""

from __future__ import annotations

import argparse
from dataclasses import asdict

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.bank.file import Manifest, read_bank
from inspectd.bank.reach import reach_of
from inspectd.cli.bank_choice import print_choice
from inspectd.cli.bank_common import print_table
from inspectd.cli.bank_settings_table import print_settings
from inspectd.errors import ExitCode
from inspectd.evaluation.budgets import choice_of
from inspectd.evaluation.quality_report import (
    LIMIT_HEADINGS,
    NOT_LEARNT,
    limit_rows,
    summary_lines,
    write_quality_page,
)
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Print a bank's manifest and what it holds."""
    bank = read_bank(arguments.bank)
    reach = reach_of(bank)
    choice = None if reach is None else choice_of(bank)
    if arguments.pictures is not None:
        write_quality_page(arguments.pictures, arguments.bank, bank)
    facts = msgspec.to_builtins(bank.manifest) | {
        "sha256": bank.sha256,
        "tensors": {
            name: f"{array.dtype} {list(array.shape)}" for name, array in sorted(bank.tensors.items())
        },
        "good_scores": None if reach is None else asdict(reach),
        "bank_mb": round(sum(array.nbytes for array in bank.tensors.values()) / 1e6, 3),
    }
    if arguments.json:
        print(json_line({**facts, "choice": choice}))
        return ExitCode.OK
    print(f"{arguments.bank}: intact")
    print(f"  {reach or 'its threshold cannot be compared with its good scores: it holds none'}")
    if reach is not None and reach.problem:
        print(f"  {reach.problem}: lines refuse it")
    for name, value in facts.items():
        if name in {"settings_choice", "quality"}:
            continue
        if isinstance(value, dict):
            print(f"  {name}")
            for inner, what in value.items():
                print(f"    {inner:<28} {what}")
        elif name in {"unlike_the_rest", "excluded", "taught"}:
            print(f"  {name:<30} {', '.join(image['name'] for image in value) or None}")
        else:
            print(
                f"  {name:<30} {', '.join(map(_shown, value)) if isinstance(value, list | tuple) else value}"
            )
    _print_mask(bank.tensors.get("head.mask"))
    if bank.manifest.settings_choice is not None:
        print_settings(bank.manifest.settings_choice)
    print_quality(bank.manifest)
    if choice is not None:
        print_choice(choice)
    if arguments.pictures is not None:
        print(f"pictures: {arguments.pictures}")
    return ExitCode.OK


def _print_mask(mask: NDArray[np.float32] | None) -> None:
    """Draw the judged patches, at most 64 across, where not all are."""
    if mask is None:
        return
    judged = mask > 0
    rows, columns = judged.shape
    print(
        f"  judged by the mask: {int(judged.sum())} of {judged.size} patches, {rows}x{columns} of the region"
    )
    step = -(-columns // 64)
    for row in judged[::step, ::step]:
        print(f"    {''.join('##' if patch else ' .' for patch in row)}")


def print_quality(manifest: Manifest) -> None:
    """Print what a bank learnt of how its images were taken, or that it did not."""
    learnt = manifest.quality
    if learnt is None:
        print(NOT_LEARNT)
        return
    print(
        f"how its images were taken, learnt of {learnt.images} images; a frame beyond a limit is undecidable:"
    )
    print_table(LIMIT_HEADINGS, limit_rows(learnt))
    for line in summary_lines(learnt, shows_rates=manifest.shows_rates):
        print(f"  {line}")


def _shown(value: object) -> str:
    """One entry of a list; a size as HEIGHTxWIDTH, as `--size` takes it."""
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
