"""`inspectd teach rebuild`: build a bank again from its list of images."""

from __future__ import annotations

import argparse

from inspectd.backends.cuda.device import choose_device
from inspectd.cli.bank_common import Steps
from inspectd.cli.teach_common import place_of_line
from inspectd.errors import ExitCode
from inspectd.teach.building import rebuild_listed
from inspectd.teach.image_lists import read_list
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Build it, and say whether it is the same bank; 1 if not.

    Raises:
        InputError: its images are not kept, or were altered.
        UnavailableError: it cannot be written.
    """
    place = place_of_line(arguments.config)
    images = read_list(place, arguments.bank)
    with Steps() as steps:
        sha256 = rebuild_listed(
            place, images, arguments.out, memory_gb=arguments.memory_gb,
            device=str(choose_device(arguments.device)), progress=steps,
        )  # fmt: skip
    is_same = sha256 == images.bank_sha256
    if arguments.json:
        print(json_line({"sha256": sha256, "same": is_same}))
    elif is_same:
        print(f"{arguments.out}: the same bank, bit for bit")
    else:
        print(f"another bank came out, {sha256[:12]}: another processor or version adds up otherwise")
        print("nothing was written")
    return ExitCode.OK if is_same else ExitCode.FAILED
