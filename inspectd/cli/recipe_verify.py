"""`inspectd recipe verify`: read every byte of versions and say which are damaged."""

from __future__ import annotations

import argparse

from inspectd.cli.recipe_common import LineState, version_named, wrapped
from inspectd.errors import ExitCode, InputError
from inspectd.text import counted, json_line, printable


def main(arguments: argparse.Namespace) -> int:
    """Verify one version, or all of them; 1 if any is damaged.

    Raises:
        InputError: there is no such recipe.
        UnavailableError: the store cannot be read.
    """
    line = LineState(arguments.config)
    if arguments.recipe is None:
        chosen = [(name, version) for name in line.store.ids() for version in line.store.versions(name)]
    else:
        chosen = [version_named(line, arguments.recipe)]
    damaged = 0
    for name, version in chosen:
        problem = None
        try:
            line.store.verify(name, version)
        except InputError as error:
            problem = str(error)
            damaged += 1
        if arguments.json:
            print(json_line({"id": name, "version": version, "problem": problem}))
        else:
            said = "intact" if problem is None else f"DAMAGED: {problem}"
            print("\n".join(wrapped(printable(f"{name}@{version}: {said}"), 0)))
    if not arguments.json:
        print(f"{counted(len(chosen), 'version')}, {damaged} damaged")
    return ExitCode.FAILED if damaged else ExitCode.OK
