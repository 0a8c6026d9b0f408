"""`inspectd teach confirm | refuse | vouch | withdraw`: what is said of a case that somebody marked."""

from __future__ import annotations

import argparse

from inspectd.cli.teach_common import person, place_of_line
from inspectd.errors import ExitCode
from inspectd.teach.answering import confirm, vouch, withdraw
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Record what was said.

    Raises:
        InputError: it cannot be said of this case by this person.
        UnavailableError: it cannot be recorded.
    """
    place, who = place_of_line(arguments.config), person(arguments)
    match arguments.teach_command:
        case "confirm" | "refuse":
            agrees = arguments.teach_command == "confirm"
            found = confirm(place, arguments.case, who, agrees=agrees)
        case "vouch":
            found = vouch(place, arguments.case, who)
        case _:
            found = withdraw(place, arguments.case, who)
    print(json_line(found) if arguments.json else f"case {found.case.id}: {found.state}, {found.case.answer}")
    return ExitCode.OK
