"""`inspectd teach golden`: keep images of parts whose verdict is known, or take them out again."""

from __future__ import annotations

import argparse

from inspectd.bank.file import read_manifest
from inspectd.cli.teach_common import person, place_of_line
from inspectd.errors import ExitCode
from inspectd.pictures.folder import list_pictures
from inspectd.teach.candidates import newest_bank
from inspectd.teach.golden_images import keep_golden, take_out_golden
from inspectd.text import counted, json_line


def main(arguments: argparse.Namespace) -> int:
    """Keep them, or take them out.

    Raises:
        InputError: there is no such bank, or an image cannot be read; or none to take out is golden.
        UnavailableError: one cannot be kept.
    """
    place = place_of_line(arguments.config)
    _, _, path = newest_bank(place, arguments.recipe, arguments.camera)
    pictures, who = list_pictures(arguments.images).pictures, person(arguments)
    of = {"recipe": arguments.recipe, "camera": arguments.camera}
    bit_depth = read_manifest(path).bit_depth
    if arguments.take_out:
        count = take_out_golden(place, pictures, **of, bit_depth=bit_depth, person=who)
        said, words = "taken_out", f"{counted(count, 'golden image')} taken out"
    else:
        count = keep_golden(place, pictures, **of, expect=arguments.expect, bit_depth=bit_depth, person=who)
        said, words = "new", f"{counted(count, 'new golden image')}, {arguments.expect}"
    print(json_line({said: count}) if arguments.json else words)
    return ExitCode.OK
