"""`inspectd bank import`: from a model that was trained elsewhere to a bank file."""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.backends.scorer import Scorer
from inspectd.bank.blind import refuse_blind
from inspectd.bank.build import FEWEST_IMAGES, BankBuilder
from inspectd.bank.build_spec import BuildSpec, Prepared
from inspectd.bank.built import BuildReport
from inspectd.bank.file import NETWORK, ONNX, read_bank
from inspectd.bank.images import named_image, read_again
from inspectd.bank.settings_choice import FEWEST_IMAGES as FEWEST_TO_CHOOSE
from inspectd.cli.bank_choice import print_choice
from inspectd.cli.bank_common import Steps, print_names
from inspectd.cli.bank_import_input import input_options, input_size, region_of
from inspectd.cli.bank_parts import print_named_parts
from inspectd.cli.bank_settings_table import print_settings
from inspectd.cli.bank_show import print_quality
from inspectd.config import ScoringSettings
from inspectd.errors import ExitCode, InputError, UnavailableError
from inspectd.evaluation.budgets import choice_of
from inspectd.evaluation.choose_judging import (
    choose_judging,
    judged_by,
    judgings_of,
    unseen_fields,
)
from inspectd.model.options import IMPORTED, ImportedOptions, PatchOptions
from inspectd.pictures.folder import described, list_good_pictures
from inspectd.pictures.parts import named_parts, one_of_each
from inspectd.scoring.paces import measured_pace, near_stall
from inspectd.text import json_line, printable

if TYPE_CHECKING:
    from inspectd.backends.openvino.admit import Admitted
    from inspectd.backends.openvino.foreign import AdmittedModel


def main(arguments: argparse.Namespace) -> int:
    """Read and try the model, find head and threshold from good images, and write the bank."""
    listing = list_good_pictures(arguments.images)
    if len(listing.pictures) < FEWEST_IMAGES:
        raise InputError(
            f"--images: {len(listing.pictures)} images, expected at least {FEWEST_IMAGES} of good parts"
        )
    parts = None
    if arguments.parts is not None:
        parts = named_parts(arguments.parts, arguments.images, listing.pictures)
    found = _admitted(arguments)
    facts = found.facts
    options = input_options(arguments, facts)
    spec = replace(_spec(arguments, facts, options), parts=parts)
    prepared = _prepared(arguments, found, options, spec)
    builder = BankBuilder(spec, imported=prepared)
    with Steps() as steps:
        spec, why = _judging(arguments, spec, builder, one_of_each(parts, listing.pictures), steps)
        builder = BankBuilder(spec, imported=prepared)
        frames = (named_image(path, spec.bit_depth) for path in listing.pictures)
        built = builder.fit(frames, len(listing.pictures), steps)
        frame = read_again(Path(built.images.names[0]), spec.bit_depth)
        refuse_blind(built)
        unseen = unseen_fields(builder, frame)
        report = builder.write(built, arguments.out)
    report = msgspec.structs.replace(report, left_out=dict(listing.left_out))
    # The first load brings the model into the form the daemon starts with, and remembers it.
    slow = _slow(Scorer.load(arguments.out, "cpu"))
    if arguments.json:
        told = {**msgspec.to_builtins(report), "model": msgspec.to_builtins(facts), "options": options}
        told["unseen_fields"] = unseen.tolist()
        told["near_stall"] = slow
        print(json_line({**told, "choice": choice_of(read_bank(arguments.out)), "judging": why}))
    else:
        _print_report(arguments, report, facts, options, why)
        _print_unseen(unseen)
        if slow is not None:
            print(f"SLOW: {slow}")
    return ExitCode.OK


def _admitted(arguments: argparse.Namespace) -> Admitted:
    if importlib.util.find_spec("openvino") is None:
        raise UnavailableError("bank import: needs the package openvino, which is not installed")
    if not arguments.memory_gb > 0 or not arguments.limit_seconds > 0:
        raise InputError("--memory-gb, --limit-seconds: expected more than 0")
    from inspectd.backends.openvino.admit import admitted  # noqa: PLC0415 - may be missing
    from inspectd.backends.openvino.foreign import ModelRequest  # noqa: PLC0415 - as above

    return admitted(
        ModelRequest(
            model=str(arguments.model),
            weights=None if arguments.weights is None else str(arguments.weights),
            size=input_size(arguments),
            score_output=arguments.score_output,
            map_output=arguments.map_output,
            memory_bytes=int(arguments.memory_gb * 1e9),
        ),
        arguments.limit_seconds,
    )


def _slow(scorer: Scorer) -> str | None:
    """What to do if the daemon, as it is set by default, might take the bank for hung; None: nothing."""
    pace = measured_pace("", scorer, 1)
    return near_stall(pace, ScoringSettings().stall_timeout_ms, is_one_by_one=scorer.is_one_by_one)


def _spec(arguments: argparse.Namespace, facts: AdmittedModel, options: ImportedOptions) -> BuildSpec:
    spec = BuildSpec(
        detector=IMPORTED,
        options=msgspec.to_builtins(options),
        patches=PatchOptions(region=region_of(arguments), compression=1.0),
        height=facts.height,
        width=facts.width,
        coreset=1,
        seed=arguments.seed,
        memory_gb=arguments.memory_gb,
        strict=arguments.strict,
        keep_outliers=arguments.keep_outliers,
        bit_depth=arguments.bit_depth,
    )
    return judged_by(spec, judgings_of(spec)[0])


def _prepared(
    arguments: argparse.Namespace, found: Admitted, options: ImportedOptions, spec: BuildSpec
) -> Prepared:
    from inspectd.backends.openvino.imported import extractor_of, wrapped  # noqa: PLC0415 - may be missing

    facts, size_pixels = found.facts, (spec.height, spec.width)
    precision: Literal["int8", "float32"] = "int8" if facts.is_rounded else "float32"
    if arguments.keep_onnx and found.onnx is None:
        raise InputError(f"--keep-onnx: model {arguments.model} is OpenVINO IR, expected ONNX")
    try:
        network = wrapped(found.network, options, size_pixels)
    except (RuntimeError, ValueError) as error:
        said = printable(str(error).strip().splitlines()[-1][:300])
        raise InputError(f"model {arguments.model}: its outputs cannot be used: {said}") from error
    file = arguments.model.name.encode(errors="backslashreplace").decode()
    extractor = extractor_of(
        network, name=arguments.name or file, weights=file, sha256=facts.sha256, outputs=options.outputs,
        size=size_pixels, region=spec.patches.region, precision=precision,
    )  # fmt: skip
    tensors = dict(zip(NETWORK, (np.frombuffer(part, np.uint8) for part in found.network), strict=True))
    if arguments.keep_onnx and found.onnx is not None:
        tensors[ONNX] = np.frombuffer(found.onnx, np.uint8)
    return Prepared(extractor, precision, tensors)


def _judging(
    arguments: argparse.Namespace, spec: BuildSpec, builder: BankBuilder, paths: list[Path], steps: Steps
) -> tuple[BuildSpec, str]:
    """The build with what makes the score, and why it does, for people."""
    if arguments.judge != "auto":
        return judged_by(spec, arguments.judge), "as given"
    if len(paths) < FEWEST_TO_CHOOSE:
        return spec, f"not chosen: {len(paths)} images of one part each, expected at least {FEWEST_TO_CHOOSE}"
    chosen = choose_judging(spec, builder, paths, minutes=arguments.tune_minutes, progress=steps)
    return chosen.spec, "chosen by synthetic defects"


def _print_report(
    arguments: argparse.Namespace,
    report: BuildReport,
    facts: AdmittedModel,
    options: ImportedOptions,
    why: str,
) -> None:
    bank = read_bank(arguments.out)
    print(
        f"{arguments.out}: {printable(arguments.model.name)} judged by {report.images} images of good parts"
    )
    print(
        f"input {facts.height}x{facts.width} {options.colours}, (value / {options.scale:g} - "
        f"{_listed(options.mean)}) / {_listed(options.deviation)}"
    )
    print(
        f"one picture takes the model {facts.picture_ms:.1f} ms; reading and trying it took "
        f"{facts.peak_mb:.0f} MB"
    )
    print(f"outputs: {printable(', '.join(options.outputs))}")
    print(f"judged by: {bank.manifest.options['judged']} ({why})")
    if bank.manifest.settings_choice is not None:
        print_settings(bank.manifest.settings_choice)
    print(f"threshold {report.threshold:.6g}, sha256 {report.sha256[:12]}")
    print(
        "This threshold holds if the model was trained on none of these images, which inspectd cannot "
        "know: with images it was trained on, good parts are rejected more often than stated."
    )
    if report.left_out:
        print(f"other files, left out: {described(report.left_out)}")  # type: ignore[arg-type]
    print_names("unusable, left out", [f"{name}: {reason}" for name, reason in report.unreadable.items()])
    print_names("same pixels as another, left out", report.duplicates)
    print_quality(bank.manifest)
    print_choice(choice_of(bank))
    print_named_parts(report)
    print(f"next: inspectd bank evaluate {arguments.out} --data DATA --report report.html")


def _print_unseen(unseen: NDArray[np.bool_]) -> None:
    if not unseen.any():
        return
    print(
        f"NOT LOOKED AT: {int(unseen.sum())} of {unseen.size} fields of the picture change nothing in what "
        "the model says: no defect there is found (a crop within the model?):"
    )
    for row in unseen:
        print(f"    {''.join(' .' if field else '##' for field in row)}")


def _listed(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"[{', '.join(f'{value:g}' for value in values)}]"
