"""`inspectd teach candidate`: build a bank with the parts that people confirmed as good."""

from __future__ import annotations

import argparse

from inspectd.backends.cuda.device import choose_device
from inspectd.cli.bank_common import Steps, print_names
from inspectd.cli.teach_common import person, place_of_line
from inspectd.errors import ExitCode
from inspectd.pictures.folder import list_pictures
from inspectd.teach.building import build_candidate
from inspectd.teach.candidates import find_base
from inspectd.text import counted, json_line


def main(arguments: argparse.Namespace) -> int:
    """Build and keep it; nothing judges by it.

    Raises:
        InputError: there is nothing to teach, or the bank's images are not kept.
        UnavailableError: it cannot be kept.
    """
    place = place_of_line(arguments.config)
    base = find_base(place, arguments.recipe, arguments.camera)
    drawn = [] if arguments.drawn is None else list_pictures(arguments.drawn).pictures
    with Steps() as steps:
        made = build_candidate(
            place, base, person(arguments), drawn=drawn, memory_gb=arguments.memory_gb,
            device=str(choose_device(arguments.device)), progress=steps,
        )  # fmt: skip
    if arguments.json:
        print(json_line(made))
        return ExitCode.OK
    short = made.bank_sha256[:12]
    print(
        f"candidate {short}: {made.recipe}@{made.recipe_version}, {made.place}, "
        f"{counted(len(made.taught), 'case')} taught"
    )
    print(f"threshold {made.threshold_before:.4f} -> {made.threshold:.4f} ({made.threshold_basis})")
    print_names("unlike the rest, quality has to vouch for them", made.unlike_the_rest)
    for note in made.notes:
        print(note)
    print(f"next: inspectd teach report {short} --out report.html")
    return ExitCode.OK
