"""`inspectd bank tune`: try settings of PatchCore and recommend some."""

from __future__ import annotations

import argparse
import shlex

import msgspec
from rich.table import Table

from inspectd.backends.cuda.device import choose_device
from inspectd.bank.build_spec import BuildSpec
from inspectd.cli import output
from inspectd.cli.bank_common import Steps, parse_coreset, parse_size, print_names, say_own_images
from inspectd.cli.bank_evaluate import EMPTY_MASKS, UNDECIDABLE, facts
from inspectd.errors import ExitCode, InputError
from inspectd.evaluation.dataset import read_dataset
from inspectd.evaluation.plots import trade_off_svg
from inspectd.evaluation.tune import Limits, Sweep, Tuning, TuningTrial, tune
from inspectd.files import write_text
from inspectd.model.architectures import default_layers
from inspectd.pictures.folder import described, list_good_pictures
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Sweep, show the table and the plot, recommend."""
    data = read_dataset(arguments.data)
    good = list_good_pictures(arguments.images or arguments.data / "train" / "good")
    base = BuildSpec(
        backbone=arguments.backbone,
        weights=arguments.weights,
        seed=arguments.seed,
        bit_depth=arguments.bit_depth,
    )
    limits = Limits(arguments.limit_ms, arguments.limit_mb)
    with Steps() as steps:
        result = tune(
            good.pictures, data.images, base, _sweep(arguments),
            device=str(choose_device(arguments.device)), limits=limits, progress=steps,
        )  # fmt: skip
    if arguments.plot is not None:
        write_text(arguments.plot, _plot(result))
    say_own_images(result.from_the_bank, len(data.images))
    if arguments.json:
        print(json_line({**msgspec.to_builtins(result), **facts(data)}))
    else:
        _print_result(result, base)
        for note in data.notes:
            print(note)
        if good.left_out:
            print(f"left out of the good images: {described(good.left_out)}")
    return ExitCode.OK


def _sweep(arguments: argparse.Namespace) -> Sweep:
    try:
        neighbours = [int(text) for text in arguments.neighbours.split(",")]
    except ValueError as error:
        raise InputError(
            f"--neighbours: got {arguments.neighbours!r}, expected numbers such as 1,3"
        ) from error
    return Sweep(
        sizes=[parse_size(text) for text in arguments.sizes.split(",")],
        coresets=[parse_coreset(text) for text in arguments.coresets.split(",")],
        neighbours=neighbours,
        layers=_layers(arguments),
    )


def _layers(arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """The choices asked for, else the backbone's usual layers and those without the finest."""
    if arguments.layers is not None:
        return [tuple(choice.split(",")) for choice in arguments.layers.split(";")]
    usual = default_layers(arguments.backbone)
    return [usual, usual[1:]] if len(usual) > 1 else [usual]


def _plot(result: Tuning) -> str:
    points = [(trial.latency_ms, trial.image_auroc, trial.name()) for trial in result.trials]
    pareto = [trial.pareto for trial in result.trials]
    return trade_off_svg(points, pareto, result.recommended, "one image, ms", "image AUROC")


def _print_result(result: Tuning, base: BuildSpec) -> None:
    table = Table(
        "", "size", "coreset", "k", "layers", "image AUROC", "pixel AUROC", "one image, ms", "bank, MB"
    )
    for index, trial in enumerate(result.trials):
        mark = "recommended" if index == result.recommended else "Pareto" if trial.pareto else ""
        pixel = "" if trial.pixel_auroc is None else f"{trial.pixel_auroc:.4f}"
        cost = (f"{trial.latency_ms:.1f}", f"{trial.bank_mb:.1f}")
        layers = ",".join(trial.layers)
        figures = (f"{trial.image_auroc:.4f}", pixel, *cost)
        table.add_row(mark, trial.size, f"{trial.coreset:g}", str(trial.neighbours), layers, *figures)
    output.console().print(table)
    print_names("images the banks were built from", result.from_the_bank)
    print_names(EMPTY_MASKS, result.empty_masks)
    print_names(UNDECIDABLE, [f"{name}: {why}" for name, why in result.undecidable.items()])
    best = result.trials[result.recommended]
    print(f"recommended: {result.reason}")
    print(f"next: {_build_command(base, best)}")


def _build_command(base: BuildSpec, best: TuningTrial) -> str:
    """What builds a bank as that of a trial; with `--tune off`, or what was not tried may be chosen anew."""
    words = ["inspectd", "bank", "build", "--images", "DIR", "--out", "FILE", "--tune", "off"]
    words += ["--size", best.size, "--coreset", str(best.coreset), "--neighbors", str(best.neighbours)]
    words += ["--layers", ",".join(best.layers)]
    usual = BuildSpec()
    for name in ("backbone", "weights", "seed", "bit_depth"):
        if (value := getattr(base, name)) != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
