"""`inspectd recipe list`: every recipe of the store, and which one is in force."""

from __future__ import annotations

import argparse
from itertools import groupby

import msgspec
from rich.table import Table

from inspectd.cli import output
from inspectd.cli.output import cell
from inspectd.cli.recipe_common import LineState, in_force_if_known, is_in_force, told, wrapped
from inspectd.cli.times import shown_time
from inspectd.errors import ExitCode
from inspectd.recipes.audit import InForce
from inspectd.recipes.book import FILE
from inspectd.recipes.reading import ListedVersion
from inspectd.text import json_line, printable


def main(arguments: argparse.Namespace) -> int:
    """Print the list; what is damaged is named below it, and last that nobody knows what is in force.

    Raises:
        InputError: the configuration or the audit file cannot be read.
        UnavailableError: the store cannot be read.
    """
    line = LineState(arguments.config)
    listed = line.store.listing()
    force, unknown = in_force_if_known(line.audit)
    if arguments.json:
        for each in listed:
            recipe = None if each.recipe is None else told(each.recipe)
            in_force = is_in_force(force, each.recipe)
            print(json_line({**msgspec.structs.asdict(each), "recipe": recipe, "in_force": in_force}))
        if unknown is not None:
            raise unknown
        return ExitCode.OK
    _print(listed, force)
    if unknown is not None:
        raise unknown
    meant, damage = line.meant.of_those_put_in_force()
    for name, version in sorted(meant.items()):
        if name != FILE and version != line.store.newest(name):
            print(f"{name} alone, or its number, means {name}@{version}, which was in force last")
    if force is None or force.is_file:
        print("in force: the recipes of the configuration file")
    elif not any(is_in_force(force, each.recipe) for each in listed):
        print(f"in force: {force.id}@{force.version}, which the store does not hold, or holds damaged")
    if damage is not None:
        raise damage
    return ExitCode.OK


def _print(listed: list[ListedVersion], force: InForce | None) -> None:
    if listed:
        output.console(highlight=False).print(_table(listed, force))
    else:
        print("no recipe is in the store; `inspectd recipe import` makes one")
    for each in listed:
        if each.problem is not None:
            print("\n".join(wrapped(printable(f"damaged: {each.id}@{each.version}: {each.problem}"), 0)))


def _table(listed: list[ListedVersion], force: InForce | None) -> Table:
    """A row for each recipe, about its newest version."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for name, most in (("recipe", 16), ("number", 6), ("versions", 8), ("in force", 8), ("created", 10)):
        table.add_column(name, no_wrap=True, max_width=most, overflow="ellipsis")
    table.add_column("who", no_wrap=True, max_width=8, overflow="ellipsis")
    table.add_column("why", no_wrap=True, ratio=1, overflow="ellipsis")
    for name, of_it in groupby(listed, lambda each: each.id):
        versions = list(of_it)
        newest, recipe = versions[-1], versions[-1].recipe
        numbers = f"{versions[0].version}-{newest.version}" if len(versions) > 1 else str(newest.version)
        forced = next((f"@{each.version}" for each in versions if is_in_force(force, each.recipe)), "")
        about = ("?", "damaged", "", "")
        if recipe is not None:
            about = (str(recipe.number), shown_time(recipe.created_utc_ns)[:10], recipe.who, recipe.why)
        number, created, who, why = about
        table.add_row(*map(cell, (name, number, numbers, forced, created, who, why)))
    return table
