"""`inspectd audit`: who did what to a line, and whether the record of it is whole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from inspectd.cli.recipe_common import LineState, in_force_if_known, shortened, wrapped
from inspectd.cli.times import last_utc_ns, shown_time
from inspectd.errors import ExitCode
from inspectd.recipes.audit import (
    BEGUN,
    AuditAction,
    AuditFault,
    AuditRecord,
    AuditSummary,
    read,
    verify,
    without_beginnings,
)
from inspectd.text import counted, json_line, printable, printable_lines

_RESULTS: Final = {BEGUN: "begun, and nothing says how it ended: is it under way, or was it killed?"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `inspectd audit`."""
    parser.epilog = (
        "Exit codes: 0 the record is whole; 1 it was altered or cut: the first wrong line is named."
    )
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the line's configuration file"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.add_argument("--verify", action="store_true", help="only say whether it is whole")
    parser.add_argument(
        "--all",
        action="store_true",
        help="show those too that say `begun` where another one says how it ended",
    )
    parser.add_argument(
        "--action", action="append", choices=[action.value for action in AuditAction], metavar="ACTION",
        help=f"only these: {', '.join(AuditAction)}; may be given several times",
    )  # fmt: skip
    parser.add_argument("--who", metavar="TEXT", help="only records whose `who` contains this")
    parser.add_argument("--object", metavar="TEXT", help="only records about what contains this")
    parser.add_argument(
        "--since", type=last_utc_ns, metavar="TIME",
        help="leave out earlier records, such as 2026-11-26T06:00, or 06:00: when it was that last; a time "
        "of this host unless it ends with a zone (records are shown in UTC, `Z`)",
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Print the records up to the first wrong line, if there is one; then 1.

    Raises:
        InputError: the configuration or the audit file cannot be read.
    """
    path = LineState(arguments.config).audit
    found = verify(path)
    left_out = 0
    if not arguments.verify:
        whole = None if isinstance(found, AuditSummary) else found.line - 1
        records: Iterable[AuditRecord] = islice(read(path), whole)
        if not arguments.json and not arguments.all:
            every = list(records)
            records = without_beginnings(every)
            left_out = len(every) - len(records)
        shown = 0
        for record in records:
            if _is_wanted(record, arguments):
                print(json_line(record) if arguments.json else _shown(record))
                shown += 1
        if not shown and isinstance(found, AuditSummary) and found.records and not arguments.json:
            print("no record is of what was asked for")
    if isinstance(found, AuditFault):
        print(f"error: {path}: {printable(str(found))}", file=sys.stderr)
        return ExitCode.FAILED
    _, missing = in_force_if_known(path)
    if missing is not None:
        print(f"error: {printable(str(missing))}", file=sys.stderr)
        return ExitCode.FAILED
    if not arguments.json:
        if left_out:
            print(
                f"not shown: `begun` of {counted(left_out, 'change')} whose end is shown (--all shows it too)"
            )
        print(_summary(path, found))
    elif arguments.verify:
        print(json_line(found))
    return ExitCode.OK


def _is_wanted(record: AuditRecord, arguments: argparse.Namespace) -> bool:
    about = " ".join(filter(None, (record.object, record.old, record.new)))
    return (
        (arguments.since is None or record.utc_ns >= arguments.since)
        and (arguments.action is None or record.action in arguments.action)
        and (arguments.who or "").casefold() in record.who.casefold()
        and (arguments.object or "").casefold() in about.casefold()
    )


def _shown(record: AuditRecord) -> str:
    head = f"{record.seq:>5}  {shown_time(record.utc_ns)}  {record.action} by {record.who} ({record.door})"
    lines = wrapped(f"{head}: {_RESULTS.get(record.result, record.result)}", 0, hanging=7)
    new = (
        "none" if record.new is None and record.old is not None else record.new
    )  # or an end reads as a start
    changed = " -> ".join(shortened(text) for text in (record.old, new) if text is not None)
    about = ": ".join(text for text in (record.object, changed) if text)
    for text in (about, f"why: {record.why}" if record.why else ""):
        lines += wrapped(text, 7)
    return printable_lines("\n".join(lines))


def _summary(path: Path, found: AuditSummary) -> str:
    rest = ""
    if found.unfinished_bytes:
        rest = (
            f"\n{counted(found.unfinished_bytes, 'byte')} of a record behind it: it is being written, or a "
            "crash left it, and nobody was told that it is done; the next record sets it aside"
        )
    if not found.records:
        return f"{path}: holds no record yet{rest}"
    return (
        f"{path}: {counted(found.records, 'record')}, none altered or missing\n"
        f"the last one's sha256: {found.last_sha256}{rest}"
    )
