"""`inspectd teach adopt`: keep the images that a recipe's bank was built from."""

from __future__ import annotations

import argparse

from inspectd.cli.bank_common import Steps
from inspectd.cli.teach_common import person, place_of_line
from inspectd.errors import ExitCode
from inspectd.pictures.folder import list_pictures
from inspectd.teach.candidates import newest_bank
from inspectd.teach.image_lists import adopt
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Keep them, and their list.

    Raises:
        InputError: there is no such bank, or images are missing.
        UnavailableError: they cannot be kept.
    """
    place = place_of_line(arguments.config)
    _, _, path = newest_bank(place, arguments.recipe, arguments.camera)
    with Steps() as steps:
        pictures = list_pictures(arguments.images).pictures
        found = adopt(place, path, pictures, person(arguments), steps)
    if arguments.json:
        print(json_line({"bank_sha256": found.bank_sha256, "images": len(found.images)}))
    else:
        print(f"bank {found.bank_sha256[:12]}: {len(found.images)} images are kept, with their list")
    return ExitCode.OK
