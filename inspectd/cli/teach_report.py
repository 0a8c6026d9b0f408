"""`inspectd teach report`: hold a candidate against evidence, golden images and known defects."""

from __future__ import annotations

import argparse
from collections import Counter

from inspectd.bank.file import read_bank
from inspectd.cli.bank_common import Steps, print_names
from inspectd.cli.teach_common import person, teach_place
from inspectd.errors import ExitCode, InputError
from inspectd.publish.journal.recorded import recorded_verdicts
from inspectd.teach.candidates import BANK, Candidate, find_candidate
from inspectd.teach.place import TeachPlace
from inspectd.teach.replay import Replay, replay
from inspectd.teach.report import report_on
from inspectd.teach.report_page import defect_words, flip_rows, write_teach_report
from inspectd.teach.roles import TeachAct, refuse_role
from inspectd.teach.signing import judging_banks, keep_report
from inspectd.text import json_line
from inspectd.wire import Evaluation


def main(arguments: argparse.Namespace) -> int:
    """Replay, print what flips, and keep the report beside the candidate.

    Raises:
        InputError: there is no such candidate, or what is known was altered.
        UnavailableError: the report cannot be written.
    """
    place = teach_place(arguments)
    refuse_role(TeachAct.REPORT, person(arguments))
    candidate, folder = find_candidate(place, arguments.candidate)
    banks = judging_banks(place, candidate, folder, arguments.device)
    with Steps() as steps:
        found = replay(place, candidate.recipe, candidate.place, banks, steps)
    report = report_on(candidate, read_bank(folder / BANK), found, _judged(place, candidate, found))
    keep_report(folder, report)
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
    print(
        f"golden images judged wrong: {report.golden_wrong_before} -> {report.golden_wrong} "
        f"of {report.golden}"
    )
    print_names("known defects", [f"{each.name}: {defect_words(each)}" for each in report.known_defects])
    for why, count in report.left_out.items():
        print(f"not replayed: {count} {why}")
    for need in report.needs:
        print(f"needs a second reason: {need}")
    if arguments.out is not None:
        print(f"report: {arguments.out}")
    print(f"next: inspectd teach propose {candidate.bank_sha256[:12]} --why REASON")
    return ExitCode.OK


def _judged(place: TeachPlace, candidate: Candidate, found: Replay) -> dict[Evaluation, int] | None:
    """How many such parts the line judged in the time of the evidence; None: its journal does not tell."""
    if found.oldest_utc_ns is None:
        return None
    try:
        counts = Counter(
            verdict.evaluation
            for verdict in recorded_verdicts(place.audit.parent, found.oldest_utc_ns)
            if (verdict.recipe, verdict.place) == (candidate.recipe, candidate.place)
        )
    except InputError:  # no journal, or one that was shortened or damaged: the report says "not known"
        return None
    return dict(counts)
