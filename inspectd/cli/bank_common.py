"""Shared by the bank commands: progress bars, and reading of sizes, shares and settings."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from inspectd.bank.file import MOST_INPUT_SIDE, BankFile, Manifest, Tensors, replace_bank
from inspectd.cli import output
from inspectd.cli.numbers import size
from inspectd.cli.output import cell
from inspectd.errors import InputError
from inspectd.text import printable

MOST_PASTES: Final = 10_000
"""More synthetic defects than anybody waits for."""


class Steps:
    """Shows each named step of a long piece of work as a bar; use it as a context manager."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bars = output.progress_bars(*columns)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, step: str, done: int, total: int) -> None:
        """Bring the step's bar to `done` of `total`."""
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
        self._bars.update(self._tasks[step], completed=done, total=total)

    def named(self, name: str) -> Callable[[str, int, int], None]:
        """The same bars for a single step that goes by another name."""
        return lambda _, done, total: self(name, done, total)


def write_if_agreed(
    path: Path, bank: BankFile, manifest: Manifest, tensors: Tensors, arguments: argparse.Namespace
) -> str | None:
    """Write a bank in another's place with --yes, or once somebody at a terminal agrees.

    Args:
        path: its file.
        bank: what the file held when its change was worked out.
        manifest: of the bank to write.
        tensors: the same.
        arguments: with `yes` and `json`.

    Returns:
        The sha256 of the bank that was written; None: nothing was.

    Raises:
        InputError: the file was changed meanwhile.
    """
    if not (arguments.yes or _agreed(path, arguments)):
        if not arguments.json:
            print("nothing was written; --yes writes it")
        return None
    sha256 = replace_bank(path, bank, manifest, tensors)
    if not arguments.json:
        print(f"{path}: written, sha256 {bank.sha256[:12]} -> {sha256[:12]}")
        print(f"next: inspectd check FILE, then restart the line that uses {path}")
    return sha256


def _agreed(path: Path, arguments: argparse.Namespace) -> bool:
    """Ask, where somebody is there to answer."""
    if arguments.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return input(f"write {path}? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def print_names(what: str, names: Sequence[str], most: int = 20) -> None:
    """Print the number of names and the first of them; nothing where there are none."""
    if not names:
        return
    print(f"{what} ({len(names)}):")
    for name in names[:most]:
        print(f"  {printable(name)}")
    if len(names) > most:
        print(f"  and {len(names) - most} more (--json lists all)")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of texts; its numbers are on the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="right" if 0 < column < len(headings) - 1 else "left")
    for row in rows:
        table.add_row(*(cell(text) for text in row))
    output.console(highlight=False).print(table)


def say_own_images(own: Sequence[str] | None, total: int) -> None:
    """Print on standard error which of the labelled images the bank was built from; None: unknown.

    Figures without this would be taken for what the bank does with new parts.
    """
    if own is None:
        print(
            f"the bank does not record the images it was built from, so any of these {total} may be among "
            "them; build it again to know",
            file=sys.stderr,
        )
    elif own:
        print(
            f"{len(own)} of {total} images are those the bank was built from: they count with the scores "
            "they had while they were left out of it, and not in pixel figures",
            file=sys.stderr,
        )


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of `256` or `192x320`.

    Raises:
        InputError: it is neither.
    """
    return size("--size", text, least=32, most=MOST_INPUT_SIDE)


def parse_coreset(text: str) -> float | int:
    """A share (`0.01`, `1%`) as float or a number of patches (`3000`) as int.

    Raises:
        InputError: it is neither.
    """
    text = text.strip()
    try:
        value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if 0 < value < 1 or (value == 1 and text != "1"):
        return value
    if value >= 1 and value.is_integer() and not text.endswith("%"):
        return int(value)
    raise InputError(f"--coreset: got {text!r}, expected a share (0.01 or 1%) or a number of patches (3000)")


def parse_options(settings: list[str]) -> dict[str, Any]:
    """Settings of a detector from `name=value` texts.

    Raises:
        InputError: one has no `=`.
    """
    options: dict[str, Any] = {}
    for setting in settings:
        name, separator, value = setting.partition("=")
        if not separator:
            raise InputError(f"--option: got {setting!r}, expected NAME=VALUE")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def parse_region(text: str | None) -> tuple[float, float, float, float] | None:
    """Left, top, width and height as shares of the image, from `0.1,0.1,0.8,0.8`.

    Raises:
        InputError: it is not four shares, or reaches outside the image.
    """
    if text is None:
        return None
    try:
        left, top, width, height = (float(part) for part in text.split(","))
    except ValueError:
        left, top, width, height = 0.0, 0.0, 0.0, 0.0
    inside = all(0 <= share <= 1 for share in (left, top, width, height))
    if not inside or min(width, height) == 0 or max(left + width, top + height) > 1 + 1e-9:
        raise InputError(
            f"--roi: got {text!r}, expected X,Y,WIDTH,HEIGHT as shares of the image, such as "
            "0.1,0.1,0.8,0.8: WIDTH and HEIGHT above 0, X + WIDTH and Y + HEIGHT at most 1"
        )
    return left, top, width, height
