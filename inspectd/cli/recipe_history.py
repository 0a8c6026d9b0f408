"""`inspectd recipe history`: what was in force when, who asked for it, and why."""

from __future__ import annotations

import argparse

from inspectd.cli.recipe_common import LineState, shortened, wrapped
from inspectd.cli.times import shown_time
from inspectd.errors import ExitCode
from inspectd.recipes.audit import history
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Print the records that put a recipe in force, oldest first.

    Raises:
        InputError: the audit file cannot be read, or a line of it is not as it was written.
    """
    line = LineState(arguments.config)
    record = None
    for record in history(line.audit):
        if arguments.json:
            print(json_line(record))
            continue
        about = f"{shortened(record.new or '-'):<30}  {record.action} by {record.who} ({record.door})"
        print("\n".join(wrapped(f"{shown_time(record.utc_ns)}  {about}", 0)))
        if record.why:
            print("\n".join(wrapped(f"why: {record.why}", 4)))
    if record is None and not arguments.json:
        print("no recipe of the store was ever in force")
    return ExitCode.OK
