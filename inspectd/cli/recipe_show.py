"""`inspectd recipe show`: verify a version and print all of it."""

from __future__ import annotations

import argparse

import msgspec

from inspectd.cli.recipe_common import (
    LineState,
    in_force_if_known,
    is_in_force,
    told,
    version_named,
    wrapped,
)
from inspectd.cli.times import shown_time
from inspectd.errors import ExitCode
from inspectd.recipes.version import CameraRecipe
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Print a version, once every byte of it was verified.

    Raises:
        InputError: there is no such version, or it is damaged.
    """
    line = LineState(arguments.config)
    recipe = line.store.verify(*version_named(line, arguments.recipe))
    if arguments.json:
        print(json_line(told(recipe)))
        return ExitCode.OK
    in_force, unknown = in_force_if_known(line.audit)
    force = ", in force" if is_in_force(in_force, recipe) else ""
    print(f"{recipe}, number {recipe.number}: intact{force}")
    made_from = "nothing in this store" if recipe.parent is None else f"{recipe.id}@{recipe.parent}"
    facts = {
        "created": f"{shown_time(recipe.created_utc_ns)} by inspectd {recipe.software}",
        "who": recipe.who,
        "why": recipe.why,
        "made from": f"an archive of {recipe.origin}" if recipe.origin else made_from,
        "sha256": recipe.sha256,
        "content": recipe.content_sha256,
        "folder": str(line.store.folder(recipe.id, recipe.version)),
    }
    for name, value in facts.items():
        print("\n".join(wrapped(f"{name:<12}{value}", 2)))
    for name, camera in recipe.cameras.items():
        print(f"  camera {name}")
        for key, value in _settings(camera).items():
            print(f"    {key:<18}{value}")
    for name, file in recipe.files.items():
        print(f"  file {name}\n    {file.sha256}, {file.bytes:,} bytes")
    if unknown is not None:
        raise unknown
    return ExitCode.OK


def _settings(camera: CameraRecipe) -> dict[str, str]:
    """A camera's settings in words, as its configuration file names them."""
    left_open = {
        "threshold": "the bank's own",
        "check_above": "no second look",
        "deadline_ms": "the line's",
        "exposure_us": "the camera's own",
        "gain_db": "the camera's own",
        "quality_off": "nothing",
    }
    words = {"True": "yes", "False": "no"}
    return {
        name: left_open[name] if value is None or value == () else words.get(f"{value}", f"{value}")
        for name, value in sorted(msgspec.structs.asdict(camera).items())
    }
