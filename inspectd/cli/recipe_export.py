"""`inspectd recipe export`: write a version into one file, for another line."""

from __future__ import annotations

import argparse

from inspectd.cli.recipe_common import LineState, version_named
from inspectd.errors import ExitCode
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Write the archive; the same version gives the same bytes.

    Raises:
        InputError: there is no such version, it is damaged, or the file exists.
        UnavailableError: the file cannot be written.
    """
    line = LineState(arguments.config)
    recipe = line.store.export(*version_named(line, arguments.recipe), arguments.out)
    size_bytes = arguments.out.stat().st_size
    if arguments.json:
        print(json_line({"file": str(arguments.out), "bytes": size_bytes, "recipe": recipe}))
    else:
        print(f"{recipe}: written to {arguments.out}, {size_bytes / 1e6:.1f} MB")
    return ExitCode.OK
