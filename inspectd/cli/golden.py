"""`inspectd golden`: checks a line with parts that are known to be good or bad, and reports on them."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from inspectd.cli.outcome_files import page_to_write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands; each one's work is in the module `golden_<name>`."""
    commands = parser.add_subparsers(dest="golden_command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="say which part to show to a running line, and what it made of it")
    _add_config(run)
    run.add_argument("--recipe", metavar="NAME", help="check this recipe; default: the one in force")
    run.add_argument("--who", metavar="NAME", help="who does it, for the record; default: this user")
    run.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS",
        help="longest wait for the result of a part that was shown; default: %(default)g",
    )  # fmt: skip
    end = commands.add_parser("end", help="end a check that nobody is doing any more; nothing changes by it")
    _add_config(end)
    end.add_argument("--who", metavar="NAME", help="who ends it, for the record; default: this user")
    report = commands.add_parser("report", help="agreement over time, drifts of scores, failed checks")
    _add_config(report)
    report.add_argument("--out", type=page_to_write, metavar="FILE", help="write a self-contained HTML page")
    report.add_argument("--recipe", metavar="NAME", help="only this recipe's checks; default: all")
    report.add_argument("--json", action="store_true", help="print one JSON object")


def main(arguments: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    module = importlib.import_module(f"inspectd.cli.golden_{arguments.golden_command}")
    code: int = module.main(arguments)
    return code


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the line's configuration file"
    )
