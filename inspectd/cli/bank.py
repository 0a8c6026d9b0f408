"""`inspectd bank`: build and look after banks."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from inspectd.bank.build import BuildReport, BuildSpec, build_bank
from inspectd.bank.images import find_images
from inspectd.errors import ExitCode, InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands of `inspectd bank`."""
    commands = parser.add_subparsers(dest="bank_command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="make a bank from images of good parts")
    build.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of images of good parts"
    )
    build.add_argument("--out", type=Path, required=True, metavar="FILE", help="bank file to write")
    build.add_argument("--backbone", default=BuildSpec.backbone, help="default: %(default)s")
    build.add_argument("--layers", help="comma-separated layer names; default: the backbone's usual ones")
    build.add_argument("--weights", metavar="FILE", help="weights file; default: the backbone's own")
    build.add_argument(
        "--size", default="256", help="network input, pixels: 256 or HEIGHTxWIDTH; default: %(default)s"
    )
    build.add_argument(
        "--coreset",
        default="0.01",
        help="share of patches kept (0.01, 1%%) or their number; default: %(default)s",
    )
    build.add_argument("--neighbours", "--neighbors", type=int, default=1, help="default: %(default)s")
    build.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    build.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: %(default)s")
    build.add_argument("--json", action="store_true", help="print the report as one JSON object")
    build.set_defaults(run=_build)


def main(arguments: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    return int(arguments.run(arguments))


def _build(arguments: argparse.Namespace) -> int:
    height, width = parse_size(arguments.size)
    spec = BuildSpec(
        options={"neighbours": arguments.neighbours},
        backbone=arguments.backbone,
        layers=tuple(arguments.layers.split(",")) if arguments.layers else None,
        weights=arguments.weights,
        height=height,
        width=width,
        coreset=parse_coreset(arguments.coreset),
        seed=arguments.seed,
        device=arguments.device,
    )
    paths = find_images(arguments.images)
    with _progress() as bars:
        report = build_bank(paths, arguments.out, spec, Steps(bars))
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        _print_report(arguments.out, report)
    return ExitCode.OK


class Steps:
    """Shows each named step of a long piece of work as a bar."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: str, done: int, total: int) -> None:
        """Bring the step's bar to `done` of `total`."""
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
        self._bars.update(self._tasks[step], completed=done, total=total)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of `256` or `192x320`.

    Raises:
        InputError: it is neither.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 32 <= int(part) <= 4096 for part in parts):
        raise InputError(f"--size: got {text!r}, expected 256 or HEIGHTxWIDTH, each 32 to 4096 pixels")
    return int(parts[0]), int(parts[-1])


def parse_coreset(text: str) -> float | int:
    """A share (`0.01`, `1%`) as float or a number of patches (`3000`) as int.

    Raises:
        InputError: it is neither.
    """
    try:
        value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if 0 < value < 1 or (value == 1 and text != "1"):
        return value
    if value >= 1 and value.is_integer() and not text.endswith("%"):
        return int(value)
    raise InputError(f"--coreset: got {text!r}, expected a share (0.01 or 1%) or a number of patches (3000)")


def _progress() -> Progress:
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _print_report(out: Path, report: BuildReport) -> None:
    print(f"{out}: {report.rows} x {report.dims} from {report.patches} patches of {report.images} images")
    print(f"threshold {report.threshold:.4f}; sha256 {report.sha256[:12]}")
    steps = (
        f"features {report.extract_s:.1f}, bank {report.coreset_s:.1f}, threshold {report.threshold_s:.1f}"
    )
    print(f"seconds: {steps}")
    for path in report.skipped:
        print(f"skipped, unreadable: {path}")
