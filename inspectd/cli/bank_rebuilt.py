"""What a bank that was built again changes: shown, and written if the user says so."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec

from inspectd.backends.cuda.device import choose_device
from inspectd.backends.precisions import prepare
from inspectd.bank.built import Built
from inspectd.bank.file import BankFile, Manifest
from inspectd.bank.rebuild import rebuild
from inspectd.cli.bank_choice import print_choice
from inspectd.cli.bank_common import Steps, write_if_agreed
from inspectd.errors import ExitCode
from inspectd.evaluation.budgets import choice_of
from inspectd.model.options import WantedPrecision
from inspectd.text import json_line, printable


def rebuild_and_write(
    path: Path,
    bank: BankFile,
    images: Sequence[Path],
    arguments: argparse.Namespace,
    *,
    without: Sequence[int] = (),
    precision: WantedPrecision | None = None,
) -> ExitCode:
    """Build a bank again, show what changes, and write it in the old one's place as `write_if_agreed` does.

    Raises:
        InputError: it cannot be built again so, or the file was changed meanwhile.
        UnavailableError: it cannot be written, or not be computed here.
    """
    with Steps() as steps:
        built = rebuild(
            path, bank, images, without=without, precision=precision, prepare=prepare,
            memory_gb=arguments.memory_gb, device=str(choose_device(arguments.device)), progress=steps,
        )  # fmt: skip
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
        "precision_before": before.precision,
        "precision": after.precision,
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
        ("precision", before.precision, after.precision),
        ("threshold", f"{before.threshold:.4f}", f"{after.threshold:.4f}"),
        ("good images", before.images, after.images),
        ("bank rows", before.rows, after.rows),
        ("not answered", len(before.unanswered), len(after.unanswered)),
    ):
        print(f"{name:<13} {old} -> {new}")
    print_choice(choice_of(BankFile(after, built.arrays, "")))
