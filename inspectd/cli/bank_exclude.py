"""`inspectd bank exclude`: builds a bank again without some of its images, once its effect was shown."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from inspectd.backends.cuda.device import choose_device
from inspectd.bank.answers import refuse_other_rule, row_of
from inspectd.bank.build import Built
from inspectd.bank.file import BankFile, Manifest, read_bank, write_bank
from inspectd.bank.rebuild import rebuild_without
from inspectd.cli.bank_accept import image_sha256
from inspectd.cli.bank_choice import print_choice
from inspectd.cli.bank_common import Steps
from inspectd.errors import ExitCode, InputError
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
    is_written = arguments.yes or _agreed(path, arguments)
    sha256 = _write(path, bank, built) if is_written else None
    if arguments.json:
        print(json_line({**_effect(bank.manifest, built), "sha256": sha256, "written": is_written}))
    elif is_written:
        print(f"{path}: written, sha256 {bank.sha256[:12]} -> {str(sha256)[:12]}")
        print(f"next: inspectd check FILE, then restart the line that uses {path}")
    else:
        print("nothing was written; --yes writes it")
    return ExitCode.OK if is_written else ExitCode.FAILED


def _agreed(path: Path, arguments: argparse.Namespace) -> bool:
    """Ask, where somebody is there to answer."""
    if arguments.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return input(f"write {path}? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _write(path: Path, bank: BankFile, built: Built) -> str:
    """Write the bank that was built, unless another one has taken its place meanwhile."""
    if read_bank(path).sha256 != bank.sha256:
        raise InputError(f"bank {path}: was changed while this one was built; nothing was written, try again")
    return write_bank(path, built.manifest, built.arrays)


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
        ends = "rejected" if image.score > after.threshold else "passed, by its score while it was left out"
        print(f"{printable(image.name)}: score {image.score:.4f}; parts like it will be {ends}")
    for name, old, new in (
        ("threshold", f"{before.threshold:.4f}", f"{after.threshold:.4f}"),
        ("good images", before.images, after.images),
        ("bank rows", before.rows, after.rows),
        ("not answered", len(before.unanswered), len(after.unanswered)),
    ):
        print(f"{name:<13} {old} -> {new}")
    print_choice(choice_of(BankFile(after, built.arrays, "")))
