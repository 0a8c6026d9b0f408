"""`inspectd bank compare`: judge two banks by the same images."""

from __future__ import annotations

import argparse
import sys

import msgspec
from rich.table import Column, Table

from inspectd.cli import output
from inspectd.cli.bank_common import Steps, print_names, say_own_images
from inspectd.cli.bank_evaluate import facts
from inspectd.cli.output import cell
from inspectd.errors import ExitCode
from inspectd.evaluation.dataset import read_dataset
from inspectd.evaluation.evaluate import BankReport, Judgement, evaluate
from inspectd.text import json_line

_FIGURES = (
    "image_auroc",
    "average_precision",
    "f1_max",
    "pixel_auroc",
    "aupro",
    "false_reject_rate",
    "escape_rate",
    "bank_mb",
)


def main(arguments: argparse.Namespace) -> int:
    """Evaluate both banks and print them side by side."""
    data = read_dataset(arguments.data)
    with Steps() as steps:
        results = [
            evaluate(bank, data.images, arguments.device, steps.named(bank.name)) for bank in arguments.banks
        ]
    figures = [result.report for result in results]
    otherwise = [_otherwise(results[0], result) for result in results]
    for bank, figure in zip(arguments.banks, figures, strict=True):
        if figure.from_the_bank != []:
            print(f"{bank}:", file=sys.stderr)
            say_own_images(figure.from_the_bank, figure.images)
    if arguments.json:
        told = [
            {**msgspec.to_builtins(figure), **facts(data), "fails_what_the_first_passes": to_fail,
             "passes_what_the_first_fails": to_pass}
            for figure, (to_fail, to_pass) in zip(figures, otherwise, strict=True)
        ]  # fmt: skip
        print(json_line(dict(zip(map(str, arguments.banks), told, strict=True))))
        return ExitCode.OK
    table = Table("", *(Column(cell(str(bank))) for bank in arguments.banks))
    for name in _FIGURES:
        table.add_row(name, *(_shown(getattr(figure, name)) for figure in figures))
    table.add_row("fails what the first passes", *(str(to_fail) for to_fail, _ in otherwise))
    table.add_row("passes what the first fails", *(str(to_pass) for _, to_pass in otherwise))
    table.add_row("latency_ms p50", *(f"{figure.latency_ms['p50']:.2f}" for figure in figures))
    table.add_row("the bank's own images", *(_own(figure) for figure in figures))
    table.add_row("detector", *(_described(figure) for figure in figures))
    output.console().print(table)
    for bank, figure in zip(arguments.banks, figures, strict=True):
        print_names(f"images {bank} was built from", figure.from_the_bank or ())
    for note in data.notes:
        print(note)
    return ExitCode.OK


def _otherwise(first: Judgement, other: Judgement) -> tuple[int, int]:
    """Images that the other bank fails and the first one passes, and the other way round."""
    passed = {item.image.path: item.score <= first.report.threshold for item in first.judged}
    passes = {item.image.path: item.score <= other.report.threshold for item in other.judged}
    both = passed.keys() & passes.keys()
    return (
        sum(passed[path] and not passes[path] for path in both),
        sum(passes[path] and not passed[path] for path in both),
    )


def _shown(value: float | None) -> str:
    return "no masks" if value is None else f"{value:.4f}"


def _own(figure: BankReport) -> str:
    return "not known" if figure.from_the_bank is None else f"{len(figure.from_the_bank)} of {figure.images}"


def _described(figure: BankReport) -> str:
    return f"{figure.detector} on {figure.backbone}"
