"""`inspectd teach golden`: keep images of parts whose verdict is known."""

from __future__ import annotations

import argparse

from inspectd.bank.file import read_manifest
from inspectd.cli.teach_common import person, teach_place
from inspectd.errors import ExitCode
from inspectd.pictures.folder import list_pictures
from inspectd.teach.candidates import bank_in_use
from inspectd.teach.golden_images import keep_golden
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Keep them.

    Raises:
        InputError: there is no such bank, or an image cannot be read.
        UnavailableError: one cannot be kept.
    """
    place = teach_place(arguments)
    _, _, path = bank_in_use(place, arguments.recipe, arguments.camera)
    count = keep_golden(
        place, list_pictures(arguments.images).pictures, recipe=arguments.recipe, camera=arguments.camera,
        expect=arguments.expect, bit_depth=read_manifest(path).bit_depth, person=person(arguments),
    )  # fmt: skip
    print(json_line({"new": count}) if arguments.json else f"{count} new golden images, {arguments.expect}")
    return ExitCode.OK
