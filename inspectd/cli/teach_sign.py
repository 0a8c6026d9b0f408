"""`inspectd teach propose | approve`: two people sign a candidate."""

from __future__ import annotations

import argparse

from inspectd.cli.teach_common import person, place_of_line
from inspectd.errors import ExitCode
from inspectd.teach.signing import approve, propose
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Record the signature; the second one makes a version of the recipe.

    Raises:
        InputError: it cannot be signed so.
        UnavailableError: it cannot be recorded, or the store cannot be written.
    """
    place, who = place_of_line(arguments.config), person(arguments)
    if arguments.teach_command == "propose":
        candidate = propose(place, arguments.candidate, who, arguments.second_why)
        if arguments.json:
            print(json_line(candidate))
        else:
            short = candidate.bank_sha256[:12]
            print(
                f"candidate {short}: proposed; next, by quality: inspectd teach approve {short} --why REASON"
            )
        return ExitCode.OK
    recipe = approve(place, arguments.candidate, who)
    if arguments.json:
        print(json_line(recipe))
    else:
        print(f"{recipe}: is in the store, and not in force")
        print(f"next: inspectd recipe shadow {recipe}, then promote; inspectd recipe rollback takes it back")
    return ExitCode.OK
