"""Which part each image shows: the option `--parts`, and what was found of it, for people."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspectd.bank.built import BuildReport


def add_parts(parser: argparse.ArgumentParser, below: str = "--images") -> None:
    """Declare the option, for pictures whose folder the option `below` names."""
    parser.add_argument(
        "--parts",
        metavar="REGEX",
        help=f"which part each image shows: found in its path below {below}, its first group or all of it "
        "names the part; default: each shows another",
    )


def print_named_parts(report: BuildReport) -> None:
    """Print how many parts were named, where some have several images."""
    if report.parts is not None:
        print(f"parts: {report.parts}, as --parts names them; each counts once, by its highest score")
