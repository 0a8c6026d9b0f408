"""`inspectd teach mark`: a person says that a verdict was wrong."""

from __future__ import annotations

import argparse

from inspectd.cli.teach_common import person, place_of_line
from inspectd.errors import ExitCode
from inspectd.teach.answering import mark
from inspectd.teach.kept_parts import find_part
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Keep the picture, and record what was said.

    Raises:
        InputError: there is no evidence of the verdict, or it cannot be marked so.
        UnavailableError: it cannot be recorded.
    """
    place = place_of_line(arguments.config)
    case = mark(place, find_part(place.evidence, arguments.verdict), arguments.part_is, person(arguments))
    if arguments.json:
        print(json_line(case))
        return ExitCode.OK
    print(f"case {case.id}: {case.place}, {case.evaluation} with {case.score:.4g}, the part is {case.answer}")
    quality = ", of quality and with a reason, as it is unusual" if case.is_unusual else ""
    print(f"next: a second person confirms it{quality}: inspectd teach confirm {case.id}")
    return ExitCode.OK
