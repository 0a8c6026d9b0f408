"""`inspectd bank compare`: judge two banks by the same images."""

from __future__ import annotations

import argparse

import msgspec
from rich.console import Console
from rich.table import Table

from inspectd.bank.dataset import read_dataset
from inspectd.bank.evaluate import Evaluation, evaluate
from inspectd.cli.bank_common import Steps
from inspectd.cli.bank_evaluate import facts
from inspectd.errors import ExitCode

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
    figures = [result.evaluation for result in results]
    if arguments.json:
        told = [{**msgspec.to_builtins(figure), **facts(data)} for figure in figures]
        print(msgspec.json.encode(dict(zip(map(str, arguments.banks), told, strict=True))).decode())
        return ExitCode.OK
    table = Table("", *map(str, arguments.banks))
    for name in _FIGURES:
        table.add_row(name, *(_shown(getattr(figure, name)) for figure in figures))
    table.add_row("latency_ms p50", *(f"{figure.latency_ms['p50']:.2f}" for figure in figures))
    table.add_row("detector", *(_described(figure) for figure in figures))
    Console().print(table)
    for note in data.notes:
        print(note)
    return ExitCode.OK


def _shown(value: float | None) -> str:
    return "no masks" if value is None else f"{value:.4f}"


def _described(figure: Evaluation) -> str:
    return f"{figure.detector} on {figure.backbone}"
