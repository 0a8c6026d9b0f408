"""`inspectd teach list`: cases and candidates of a line."""

from __future__ import annotations

import argparse

from inspectd.bank.answers import SHORT
from inspectd.cli.bank_common import print_table
from inspectd.cli.teach_common import place_of_line
from inspectd.cli.times import shown_time
from inspectd.errors import ExitCode
from inspectd.teach.candidates import list_candidates
from inspectd.teach.cases import CaseBook
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Print both.

    Raises:
        InputError: the audit file, a case or a candidate was altered.
    """
    place = place_of_line(arguments.config)
    cases, candidates = CaseBook(place).all(), list_candidates(place)
    if arguments.json:
        print(json_line({"cases": cases, "candidates": candidates}))
        return ExitCode.OK
    if cases:
        print_table(
            ("case", "score", "threshold", "part is", "state", "camera, marked by"),
            (
                (
                    each.case.id, f"{each.case.score:.4g}", f"{each.case.threshold:.4g}", each.case.answer,
                    each.state, f"{each.case.place}, {each.marked_by} {shown_time(each.marked_utc_ns)}",
                )
                for each in cases
            ),
        )  # fmt: skip
    if candidates:
        print_table(
            ("candidate", "taught", "threshold", "made from"),
            (
                (
                    each.bank_sha256[:SHORT], str(len(each.taught)),
                    f"{each.threshold_before:.4g} -> {each.threshold:.4g}",
                    f"{each.recipe}@{each.recipe_version}, {each.place}",
                )
                for each in candidates
            ),
        )  # fmt: skip
    if not cases and not candidates:
        print("nothing was taught yet; `inspectd teach mark` says that a verdict was wrong")
    return ExitCode.OK
