"""`inspectd bank calibrate`: a threshold for a stated false-reject rate."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np

from inspectd.bank.file import read_bank
from inspectd.cli.bank_common import Steps, print_names, print_table
from inspectd.cli.bank_evaluate import share
from inspectd.errors import ExitCode, InputError
from inspectd.evaluation.budgets import BUDGETS, table_of
from inspectd.evaluation.calibrate import Calibration, images_needed
from inspectd.evaluation.confirmed import (
    ConfirmedParts,
    ConfirmedScores,
    GoodSpan,
    confirmed_scores,
    read_confirmed,
)
from inspectd.evaluation.line_rules import LineRules
from inspectd.evaluation.recalibrate import GoodScores, Recalibration, recalibrate
from inspectd.pictures.folder import Listing, described, list_good_pictures, list_pictures
from inspectd.pictures.parts import named_parts
from inspectd.publish.journal.recorded import recorded_verdicts
from inspectd.text import json_line

_OF_JOURNAL: Final = ("confirmed", "good_from", "good_until", "since", "recipe", "write")


def main(arguments: argparse.Namespace) -> int:
    """Calibrate a bank; exit 1 where the scores cannot show the rate asked for."""
    _check(arguments)
    given = {"images": (list_good_pictures, arguments.images), "defects": (list_pictures, arguments.defects)}
    folders = {name: find(folder) for name, (find, folder) in given.items() if folder is not None}
    confirmed = None if arguments.journal is None else _confirmed(arguments)
    good = folders["images"].pictures if "images" in folders else None
    with Steps() as steps:
        result = recalibrate(
            arguments.bank,
            good if confirmed is None else _good_scores(confirmed),
            folders["defects"].pictures if "defects" in folders else [],
            arguments.false_reject_rate,
            device=arguments.device,
            progress=steps,
            write=not arguments.dry_run if confirmed is None else arguments.write,
            keep_outliers=arguments.keep_outliers,
            parts=_parts(arguments, folders),
            line=LineRules.of(any_size=arguments.any_size, quality_off=arguments.quality_off),
        )
    if arguments.json:
        values = msgspec.to_builtins(result)
        values["left_out"] = {name: dict(listing.left_out) for name, listing in folders.items()}
        values["confirmed"] = None if confirmed is None else _facts(confirmed)
        print(json_line(values))
    else:
        _print_result(arguments, result, confirmed)
        for name, listing in folders.items():
            if listing.left_out:
                print(f"left out of --{name}: {described(listing.left_out)}")
    is_shown = result.calibration is None or result.calibration.achieved
    return ExitCode.OK if is_shown else ExitCode.FAILED


def _parts(arguments: argparse.Namespace, folders: Mapping[str, Listing]) -> dict[str, str] | None:
    if arguments.parts is None:
        return None
    return {
        path: part
        for name, listing in folders.items()
        for path, part in named_parts(arguments.parts, getattr(arguments, name), listing.pictures).items()
    }


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if arguments.parts is not None and arguments.images is None and arguments.defects is None:
        raise InputError(
            "--parts: expected it with --images or --defects only: it is found in the paths of files"
        )
    if arguments.journal is None:
        given = [f"--{name.replace('_', '-')}" for name in _OF_JOURNAL if getattr(arguments, name)]
        if given:
            raise InputError(f"{', '.join(given)}: expected only with --journal")
        return
    if arguments.images is not None:
        raise InputError("got --images and --journal, expected one source of good parts")
    is_span = arguments.good_from is not None and arguments.good_until is not None
    is_part_of_span = arguments.good_from is not None or arguments.good_until is not None
    if (arguments.confirmed is not None) == is_part_of_span or is_part_of_span != is_span:
        raise InputError(
            "--journal: expected either --confirmed FILE, or both --good-from and --good-until: which parts "
            "were good is not recorded"
        )
    if is_span and arguments.good_from >= arguments.good_until:
        raise InputError("--good-until: expected a time after --good-from")
    if arguments.write and arguments.dry_run:
        raise InputError("got --write and --dry-run, expected one of them")
    if arguments.write and arguments.false_reject_rate is None:
        raise InputError("--write: expected --false-reject-rate with it, one of the budgets or any other")


def _confirmed(arguments: argparse.Namespace) -> ConfirmedScores:
    """The bank's scores of the parts that were said to be good."""
    good: ConfirmedParts | GoodSpan
    read_from_utc_ns = 0
    if arguments.confirmed is not None:
        good = read_confirmed(arguments.confirmed)
    else:
        good = GoodSpan(arguments.good_from, arguments.good_until)
        read_from_utc_ns = good.from_utc_ns
    sha256 = read_bank(arguments.bank).sha256
    verdicts = recorded_verdicts(arguments.journal, read_from_utc_ns)
    since_utc_ns = arguments.since or 0
    found = confirmed_scores(verdicts, sha256, good, since_utc_ns=since_utc_ns, recipe=arguments.recipe)
    if not found.scores:
        why = "; ".join(_left_out(found)) or "no verdict is of such a part"
        raise InputError(
            f"journal {arguments.journal}: holds no score of bank {sha256[:12]} for these parts: {why}"
        )
    return found


def _good_scores(confirmed: ConfirmedScores) -> GoodScores:
    kind = f"confirmed parts from {_time(confirmed.first_utc_ns)} to {_time(confirmed.last_utc_ns)}"
    return GoodScores(
        np.array(confirmed.scores),
        confirmed.names,
        kind=kind,
        bank_sha256=confirmed.bank_sha256,
        parts=np.array(confirmed.parts),
    )


def _facts(confirmed: ConfirmedScores) -> dict[str, object]:
    return {
        "scores": len(confirmed.scores),
        "parts": len(set(confirmed.parts)),
        "rejected": confirmed.rejected,
        "unconfirmed_rejects": confirmed.unconfirmed_rejects,
        "left_out": dict(confirmed.left_out),
        "unknown": confirmed.unknown,
        "ambiguous": confirmed.ambiguous,
        "first_utc_ns": confirmed.first_utc_ns,
        "last_utc_ns": confirmed.last_utc_ns,
    }


def _print_result(
    arguments: argparse.Namespace, result: Recalibration, confirmed: ConfirmedScores | None
) -> None:
    if confirmed is None:
        own = "the bank does not record its own images, so any of these may be among them"
        if result.own_images_recorded:
            own = f"{result.from_the_bank} of the bank's own, by cross-fitted scores"
            if arguments.parts is not None and arguments.images is not None:
                own += "; each part once, by its highest score"
        print(f"good images        {result.good_images} ({own})")
    else:
        _print_confirmed(result, confirmed)
    print(f"threshold now      {result.threshold_before:.4f}")
    headings, *rows = table_of(result.budgets, result.good_images)
    print_table(headings, rows)
    if result.calibration is None:
        print("bank               unchanged; --false-reject-rate RATE sets a threshold that shows the rate")
    else:
        _print_calibration(arguments, result.calibration, written=result.written)
    if result.escapes is not None:
        of_parts = "; each part once, by its lowest score" if arguments.parts is not None else ""
        print(f"escapes            {share(result.escapes)}{of_parts}")
    if result.outliers:
        print_names(_outliers(result, confirmed), result.outliers)
    print_names(
        "the bank was built from these defective images as good ones, and they are judged by the scores they "
        "had while they were left out: take them out with `inspectd bank exclude`",
        result.defects_from_the_bank,
    )
    if result.skipped:
        print(f"skipped            {len(result.skipped)} images")
    for path, why in result.skipped.items():
        print(f"skipped: {path}: {why}")
    if result.written:
        print(f"next: inspectd check FILE, then restart the line that uses {arguments.bank}")
        print("      a `threshold` in its recipe overrides the bank's")


def _print_calibration(arguments: argparse.Namespace, found: Calibration, *, written: bool) -> None:
    if not found.achieved:
        missing = found.images_needed - found.images
        needed = f"at least {found.images_needed} good images, {missing} more"
        best = f"{found.shown_rate:.4%} at 95 % confidence, with threshold {found.threshold:.4f}"
        print(f"asked rate         {found.asked_rate:.4%} cannot be shown with so few images")
        print(f"best shown         {best}")
        print(f"needed             {needed}; the bank is unchanged")
        return
    unchanged = "unchanged (--dry-run)" if arguments.dry_run else "unchanged; --write stores the threshold"
    print(f"threshold          {found.threshold:.4f}")
    print(f"shown rate         {found.shown_rate:.4%} at 95 % confidence, asked {found.asked_rate:.4%}")
    print(f"least for the rate {found.images_needed} good images")
    print(f"bank               {'written' if written else unchanged}")


def _print_confirmed(result: Recalibration, confirmed: ConfirmedScores) -> None:
    span = f"{_time(confirmed.first_utc_ns)} to {_time(confirmed.last_utc_ns)}"
    print(
        f"confirmed parts    {len(set(confirmed.parts))} with {len(confirmed.scores)} views from {span}, "
        f"{confirmed.rejected} of the views rejected"
    )
    print("                   the rates hold for parts like those of that time, and for no other")
    for reason in _left_out(confirmed):
        print(f"left out           {reason}")
    fewest = images_needed(max(BUDGETS))
    if result.good_images < fewest:
        print(f"too few            {fewest} good parts show {max(BUDGETS):.0%}, the largest of the budgets")
    if confirmed.unconfirmed_rejects and not confirmed.rejected:
        print(
            f"one-sided          {confirmed.unconfirmed_rejects} views were rejected in that time and none "
            "is confirmed: if nobody looked at the rejects, these rates are too low"
        )
    print_names("confirmed, but not in the journal", confirmed.unknown)
    print_names("confirmed, but several parts have that id", confirmed.ambiguous)


def _left_out(confirmed: ConfirmedScores) -> Iterator[str]:
    for reason, count in sorted(confirmed.left_out.items()):
        yield f"{count} {reason}"


def _time(utc_ns: int) -> str:
    return f"{datetime.fromtimestamp(utc_ns / 1e9, UTC).astimezone():%Y-%m-%d %H:%M}"


def _outliers(result: Recalibration, confirmed: ConfirmedScores | None) -> str:
    what, advice = "good images", "Remove defects"
    if confirmed is not None:
        what, advice = "confirmed parts", "Look at their evidence and confirm no defects"
    if result.outliers_count:
        return f"{what} unlike the rest, counted in the threshold (--keep-outliers)"
    if result.threshold_with_outliers is None:
        return f"{what} unlike the rest, set aside"
    return (
        f"{what} unlike the rest, set aside: "
        f"with them the threshold would be {result.threshold_with_outliers:.4f}; "
        f"if they are good after all, the rate shown is {result.shown_rate_with_outliers:.4%}. "
        f"{advice}, or vouch for good ones with --keep-outliers"
    )
