"""`inspectd bank compare`: judge banks of any kinds by the same images."""

from __future__ import annotations

import argparse
import sys
from itertools import takewhile
from pathlib import Path

import msgspec
from rich.table import Column, Table

from inspectd.bank.file import read_bank
from inspectd.bench.footprint import resident_mb
from inspectd.cli import output
from inspectd.cli.bank_common import Steps, print_names, say_own_images
from inspectd.cli.bank_evaluate import EMPTY_MASKS, UNDECIDABLE, facts
from inspectd.cli.output import cell
from inspectd.errors import ExitCode, InputError
from inspectd.evaluation.comparison import (
    Compared,
    compared,
    figures_of,
    otherwise_than_first,
    refuse_incomparable,
    write_comparison,
)
from inspectd.evaluation.dataset import DataSet, read_dataset
from inspectd.evaluation.evaluate import PARTS_COUNT, evaluate
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Evaluate the banks, print them side by side and write the page."""
    _check(arguments)
    data = read_dataset(arguments.data, arguments.parts)
    for path in arguments.banks:  # all of them, before the first takes minutes
        refuse_incomparable(path, read_bank(path))
    with Steps() as steps:
        labels = _labels(arguments.banks)
        banks = [
            _compared(path, label, arguments, data, steps)
            for path, label in zip(arguments.banks, labels, strict=True)
        ]
    if arguments.report is not None:
        title = f"{len(banks)} banks on {arguments.data.name}"
        write_comparison(arguments.report, banks, arguments.false_reject_rate, title)
    for bank in banks:
        if bank.report.from_the_bank != []:
            print(f"{bank.label}:", file=sys.stderr)
            say_own_images(bank.report.from_the_bank, bank.report.images)
    if arguments.json:
        print(json_line(_told(banks, data)))
        return ExitCode.OK
    table = Table("", *(Column(cell(bank.label), overflow="fold") for bank in banks))
    for name, *values in figures_of(banks, arguments.false_reject_rate):
        table.add_row(name, *(cell(value) for value in values))
    output.console().print(table)
    if banks[0].report.parts is not None:
        print(f"{banks[0].report.parts} parts. {PARTS_COUNT}")
    for bank in banks:
        print_names(f"images {bank.label} was built from", bank.report.from_the_bank or ())
        undecidable = [f"{name}: {why}" for name, why in bank.report.undecidable.items()]
        print_names(f"{bank.label}: {UNDECIDABLE}", undecidable)
    print_names(EMPTY_MASKS, banks[0].report.empty_masks)
    for note in data.notes:
        print(note)
    if arguments.report is not None:
        print(f"report: {arguments.report}")
    return ExitCode.OK


def _check(arguments: argparse.Namespace) -> None:
    if len(arguments.banks) < 2 or len(set(arguments.banks)) < len(arguments.banks):
        raise InputError(f"expected two banks or more, no two the same, got {len(set(arguments.banks))}")
    if not 0 < arguments.false_reject_rate <= 0.2:
        raise InputError(
            f"--false-reject-rate: got {arguments.false_reject_rate:g}, expected above 0, up to 0.2"
        )


def _labels(paths: list[Path]) -> list[str]:
    """Names of the files; where two have one name, the parts of the paths by which they differ."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    parts = [path.parts for path in paths]
    first = _in_common(parts)
    last = _in_common([each[:first:-1] for each in parts])
    # With the folder they have in common: the 1 and 2 of a recipe's versions alone say little.
    cut = [each[max(0, first - 1) : len(each) - last] for each in parts]
    labels = [str(Path(*each)) for each in cut]
    return labels if len(set(labels)) == len(labels) else [str(path) for path in paths]


def _in_common(parts: list[tuple[str, ...]]) -> int:
    """How many first parts all have in common."""
    return sum(1 for _ in takewhile(lambda each: len(set(each)) == 1, zip(*parts, strict=False)))


def _compared(path: Path, label: str, arguments: argparse.Namespace, data: DataSet, steps: Steps) -> Compared:
    judgement = evaluate(path, data.images, arguments.device, steps.named(label))
    memory_mb = resident_mb(path, arguments.device)
    return compared(
        path, label, read_bank(path), judgement, budget=arguments.false_reject_rate, memory_mb=memory_mb
    )


def _told(banks: list[Compared], data: DataSet) -> dict[str, object]:
    return {
        str(bank.path): {
            **msgspec.to_builtins(bank.report), **facts(data), "fails_what_the_first_passes": to_fail,
            "passes_what_the_first_fails": to_pass, "budget_threshold": bank.budget_threshold,
            "found_at_budget": msgspec.to_builtins(bank.found),
            "rejected_at_budget": msgspec.to_builtins(bank.rejected), "memory_mb": bank.memory_mb,
        }
        for bank, (to_fail, to_pass) in zip(banks, otherwise_than_first(banks), strict=True)
    }  # fmt: skip
