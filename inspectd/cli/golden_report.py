"""`inspectd golden report`: what a line's checks with golden parts have shown so far."""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from collections.abc import Iterator

from rich.table import Table

from inspectd.cli import output
from inspectd.cli.line_folders import kept_by, state_place
from inspectd.cli.output import cell
from inspectd.errors import ExitCode, InputError
from inspectd.evaluation.calibrate import Interval
from inspectd.evaluation.golden_plots import local_day
from inspectd.evaluation.golden_report import HEADINGS, table_row, write_golden_report
from inspectd.evaluation.golden_summary import FailedCheck, GoldenSummary, summarize
from inspectd.golden.results import FILE_NAME, GoldenLines, read_lines
from inspectd.text import counted, json_line, printable

_WIDTH = 80
_MOST_PARTS = 40
_MOST_FAILURES = 5


def main(arguments: argparse.Namespace) -> int:
    """Read the record, print the summary and write the page.

    Raises:
        ConfigError: the configuration file cannot be used.
        InputError: the record is no file, or has no check.
        UnavailableError: it cannot be read now, or the page cannot be written.
    """
    line = kept_by(arguments.config).line
    path = state_place(line, arguments.config) / FILE_NAME
    read = read_lines(path)
    checks = [c for c in read.checks if arguments.recipe in {None, c.recipe}]
    if not checks:
        recipes = ", ".join(dict.fromkeys(check.recipe for check in read.checks))
        of = "" if arguments.recipe is None else f" of recipe {arguments.recipe!r}"
        rest = f", expected one of: {recipes}" if recipes else "; `inspectd golden run` does one"
        if read.unreadable:
            rest += f"; {counted(read.unreadable, 'line')} of the file cannot be read, and may be of checks"
        raise InputError(f"{path}: no check with golden parts{of} is recorded{rest}")
    summary = summarize(checks)
    name = f"{line.plant}/{line.name}"
    notes = list(_notes(read))
    if arguments.out is not None:
        write_golden_report(arguments.out, summary, f"Golden parts of {name}", notes)
    for note in notes:
        print(note, file=sys.stderr)
    if arguments.json:
        print(json_line(summary))
        return ExitCode.OK
    _print(name, summary)
    if arguments.out is not None:
        print(f"report: {arguments.out}")
    return ExitCode.OK


def _notes(read: GoldenLines) -> Iterator[str]:
    """What the figures do not rest on."""
    if read.left_out_bytes:
        yield f"the record is long: its first {read.left_out_bytes / 1e6:.0f} MB are not in these figures"
    if read.unreadable:
        yield f"{read.unreadable} lines of the record cannot be read, and are not in these figures"


def _print(name: str, summary: GoldenSummary) -> None:
    begin, end = (local_day(at) for at in (summary.begin_utc_ns, summary.end_utc_ns))
    print(f"golden parts of {name}, {begin} to {end}")
    print(f"checks      {', '.join(f'{count} {outcome}' for outcome, count in summary.checks.items())}")
    print(f"good parts  {_rate(summary.false_rejects)} rejected")
    print(f"bad parts   {_rate(summary.false_accepts)} passed")
    print(
        f"besides     {summary.good.outside_band + summary.bad.outside_band} showings outside their band, "
        f"{summary.good.undecided + summary.bad.undecided} not judged"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True, justify="left" if heading in HEADINGS[:3] else "right")
    for part in summary.parts[:_MOST_PARTS]:
        table.add_row(*map(cell, table_row(part)))
    output.console(highlight=False).print(table, width=_WIDTH)
    if len(summary.parts) > _MOST_PARTS:
        print(f"and {len(summary.parts) - _MOST_PARTS} more (--json, --out)")
    for warning in summary.warnings:
        print(_wrapped(f"warning: {warning}"))
    for failed in summary.failures[:_MOST_FAILURES]:
        print(_wrapped(_failure(failed)))
    if len(summary.failures) > _MOST_FAILURES:
        print(f"and {summary.checks['failed'] - _MOST_FAILURES} earlier failed checks (--json, --out)")


def _wrapped(text: str) -> str:
    return textwrap.fill(printable(text), _WIDTH, subsequent_indent="  ")


def _rate(share: Interval) -> str:
    """A share with its interval, for people."""
    if math.isnan(share.share):
        return "none shown:"
    return f"{share.count} of {share.total}, {share.share:.1%} ({share.low:.1%} to {share.high:.1%}),"


def _failure(failed: FailedCheck) -> str:
    version = "" if failed.recipe_version is None else f"@{failed.recipe_version}"
    when = local_day(failed.utc_ns, with_time=True)
    return f"failed {when}, {failed.recipe}{version}: {'; '.join(failed.problems)}"
