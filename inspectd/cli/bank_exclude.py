"""`inspectd bank exclude`: builds a bank again without some of its images, once its effect was shown."""

from __future__ import annotations

import argparse

import msgspec

from inspectd.backends.cuda.device import choose_device
from inspectd.bank.answers import refuse_other_rule, row_of
from inspectd.bank.build import Built
from inspectd.bank.file import BankFile, Manifest, read_bank
from inspectd.bank.rebuild import rebuild_without
from inspectd.cli.bank_accept import image_sha256
from inspectd.cli.bank_choice import print_choice
from inspectd.cli.bank_common import Steps, write_if_agreed
from inspectd.errors import ExitCode
from inspectd.evaluation.budgets import choice_of
from inspectd.pictures.folder import list_pictures
from inspectd.text import json_line, printable


def main(arguments: argparse.Namespace) -> int:
    """Build the bank without the images, show what changes, and write it if the user says so."""
    path, bank = arguments.bank, read_bank(arguments.bank)
    words = dict.fromkeys(arguments.image)
    rows = [row_of(path, bank, image_sha256(word, bank.manifest.bit_depth), word) for word in words]
    if not arguments.replace_threshold:
        advice = "--replace-threshold, as another bank has other scores; calibrate again afterwards"
        refuse_other_rule(path, bank, advice)
    images = list_pictures(arguments.images).pictures
    with Steps() as steps:
        built = rebuild_without(
            path,
            bank,
            list(dict.fromkeys(rows)),
            images,
            memory_gb=arguments.memory_gb,
            device=str(choose_device(arguments.device)),
            progress=steps,
        )
    if not arguments.json:
        _print_effect(bank.manifest, built)
    sha256 = write_if_agreed(path, bank, built.manifest, built.arrays, arguments)
    if arguments.json:
        print(json_line({**_effect(bank.manifest, built), "sha256": sha256, "written": sha256 is not None}))
    return ExitCode.FAILED if sha256 is None else ExitCode.OK


def _effect(before: Manifest, built: Built) -> dict[str, object]:
    after = built.manifest
    taken_out = after.excluded[len(before.excluded) :]
    return {
        "excluded": msgspec.to_builtins(taken_out),
        "threshold_before": before.threshold,
        "threshold": after.threshold,
        "images_before": before.images,
        "images": after.images,
        "rows_before": before.rows,
        "rows": after.rows,
        "unanswered_before": before.unanswered,
        "unanswered": after.unanswered,
    }


def _print_effect(before: Manifest, built: Built) -> None:
    after = built.manifest
    for image in after.excluded[len(before.excluded) :]:
        scored = f"scored {image.score:.4f} while it was left out of the old bank"
        print(f"{printable(image.name)}: {scored}; the new threshold is {after.threshold:.4f}")
    for name, old, new in (
        ("threshold", f"{before.threshold:.4f}", f"{after.threshold:.4f}"),
        ("good images", before.images, after.images),
        ("bank rows", before.rows, after.rows),
        ("not answered", len(before.unanswered), len(after.unanswered)),
    ):
        print(f"{name:<13} {old} -> {new}")
    print_choice(choice_of(BankFile(after, built.arrays, "")))
