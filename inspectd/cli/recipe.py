"""`inspectd recipe`: import, list, show, export and verify recipes of the store, and put them in force."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Final

from inspectd.cli.outcome_files import archive_to_write

_CHANGES: Final = {
    "prepare": "load a recipe beside those in use, so that it can be put in force at once",
    "activate": "put a recipe in force: prepare it, then judge by it whatever comes from then on",
    "rollback": "put the recipe in force again that was before the last change",
    "unprepare": "a prepared recipe need not stay loaded",
    "shadow": "score the same frames by a recipe as well, without a vote, and compare",
    "unshadow": "end the shadow",
    "promote": "put the shadow in force",
}
_NAME_NONE: Final = {"rollback", "unshadow", "promote"}
_NAMED: Final = "a recipe's name or number; without @VERSION the one that was in force last, else the newest"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands of `inspectd recipe`.

    The work of each is in the module `recipe_<name>`, of those that a line is asked for in `recipe_activate`.
    """
    commands = parser.add_subparsers(dest="recipe_command", required=True, metavar="COMMAND")

    brought = commands.add_parser("import", help="make the next version of a recipe from a file")
    brought.add_argument("source", type=Path, metavar="SOURCE", help="TOML file, or archive of `export`")
    brought.add_argument("--id", metavar="ID", help="the recipe; default: as SOURCE says")
    brought.add_argument("--number", type=int, metavar="N", help="its number for a PLC, 1 to 999; the same")
    brought.add_argument("--why", metavar="TEXT", help="reason for it, for people")
    brought.add_argument("--who", metavar="NAME", help="default: the user of this system")
    add_common(brought)

    add_common(commands.add_parser("list", help="show every recipe, and which one is in force"))

    show = commands.add_parser("show", help="verify a version and show all of it")
    show.add_argument("recipe", metavar="ID[@VERSION]", help=_NAMED)
    add_common(show)

    export = commands.add_parser("export", help="write a version into one file, for another line")
    export.add_argument("recipe", metavar="ID[@VERSION]", help=_NAMED)
    export.add_argument(
        "--out", type=archive_to_write, required=True, metavar="FILE", help="archive to write"
    )
    add_common(export)

    verify = commands.add_parser("verify", help="read every byte of versions and say which are damaged")
    verify.add_argument("recipe", nargs="?", metavar="ID[@VERSION]", help="default: all")
    add_common(verify)

    for name, summary in _CHANGES.items():
        change = commands.add_parser(name, help=summary)
        if name not in _NAME_NONE:
            change.add_argument(
                "recipe", metavar="ID[@VERSION]", help=f"{_NAMED}; file: the configuration file's"
            )
        change.add_argument("--why", metavar="TEXT", help="reason for it, for the audit file")
        change.add_argument("--who", metavar="NAME", help="default: the user of this system")
        change.add_argument(
            "--timeout", type=float, default=300.0, metavar="SECONDS",
            help="longest wait until it is loaded; default: 300",
        )  # fmt: skip
        add_common(change)
    add_common(commands.add_parser("history", help="show what was in force when, who asked for it, and why"))


def main(arguments: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    name = "activate" if arguments.recipe_command in _CHANGES else arguments.recipe_command
    module = importlib.import_module(f"inspectd.cli.recipe_{name}")
    code: int = module.main(arguments)
    return code


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare the options of commands about what a line keeps."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the line's configuration file"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
