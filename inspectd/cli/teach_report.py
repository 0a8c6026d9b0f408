"""`inspectd teach report`: hold a candidate against evidence, golden images and known defects."""

from __future__ import annotations

import argparse

from inspectd.cli.bank_common import Steps, print_names, print_table
from inspectd.cli.teach_common import person, place_of_line
from inspectd.errors import ExitCode
from inspectd.teach.report_page import (
    EFFECT_HEADINGS,
    all_passes_words,
    defect_words,
    effect_rows,
    flip_rows,
    left_out_rows,
    write_teach_report,
)
from inspectd.teach.reporting import make_report
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Replay, print what flips, and keep the report beside the candidate.

    Raises:
        InputError: there is no such candidate, or what is known was altered.
        UnavailableError: the report cannot be written.
    """
    place = place_of_line(arguments.config)
    with Steps() as steps:
        report, found = make_report(place, arguments.candidate, person(arguments), arguments.device, steps)
    if arguments.out is not None:
        write_teach_report(arguments.out, report, found)
    if arguments.json:
        print(json_line(report))
        return ExitCode.OK
    print(f"threshold {report.threshold_before:.4f} -> {report.threshold:.4f}")
    for name, replayed, judged, to_fail, to_pass in flip_rows(report):
        print(f"{name}: {replayed} replayed, judged by the line in that time: {judged}")
        print(f"  fail from now on: {to_fail}")
        print(f"  pass from now on: {to_pass}")
    print(f"all passes: {all_passes_words(report)}")
    print_table(EFFECT_HEADINGS, effect_rows(report))
    print(
        f"golden images judged wrong: {report.golden_wrong_before} -> {report.golden_wrong} "
        f"of {report.golden}"
    )
    print_names("known defects", [f"{each.name}: {defect_words(each)}" for each in report.known_defects])
    for why, count in left_out_rows(report):
        print(f"not replayed: {count} {why}")
    for note in report.notes:
        print(note)
    for need in report.needs:
        print(f"needs a second reason: {need.words}")
    if arguments.out is not None:
        print(f"report: {arguments.out}")
    print(f"next: inspectd teach propose {report.bank_sha256[:12]} --why REASON")
    return ExitCode.OK
