"""How an imported model takes pictures: by the options of the command, and by what its file says."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from inspectd.bank.file import MOST_INPUT_SIDE
from inspectd.cli.bank_common import parse_region, parse_size
from inspectd.cli.bank_import_options import PREPROCESSING
from inspectd.cli.numbers import size
from inspectd.errors import InputError
from inspectd.model.options import ImportedOptions, converted
from inspectd.pictures.region import Region
from inspectd.text import counted, printable

if TYPE_CHECKING:
    from inspectd.backends.openvino.foreign import AdmittedModel


def input_size(arguments: argparse.Namespace) -> tuple[int, int] | None:
    """Height and width of the model's input, as far as they were given."""
    if arguments.crop is not None:
        if arguments.size is None:
            raise InputError("--crop: expected --size with it, to which pictures are stretched before")
        return size("--crop", arguments.crop, least=8, most=MOST_INPUT_SIDE)
    return None if arguments.size is None else parse_size(arguments.size)


def region_of(arguments: argparse.Namespace) -> Region | None:
    """The part of every picture that becomes the input: the centre of the region that was given."""
    left, top, width, height = parse_region(arguments.roi) or (0.0, 0.0, 1.0, 1.0)
    if arguments.crop is not None:
        whole, crop = (
            parse_size(arguments.size),
            size("--crop", arguments.crop, least=8, most=MOST_INPUT_SIDE),
        )
        if crop[0] > whole[0] or crop[1] > whole[1]:
            raise InputError(f"--crop: got {arguments.crop}, expected at most --size, {arguments.size}")
        down, across = crop[0] / whole[0], crop[1] / whole[1]
        left, top = left + width * (1 - across) / 2, top + height * (1 - down) / 2
        width, height = width * across, height * down
    region = (left, top, width, height)
    return None if region == (0.0, 0.0, 1.0, 1.0) else region


def input_options(arguments: argparse.Namespace, facts: AdmittedModel) -> ImportedOptions:
    """How the model takes pictures: as stated, else as its file says.

    Raises:
        InputError: neither says it, or it does not fit.
    """
    told: dict[str, object] = {}
    resize = facts.metadata.get("resize_type", "standard")
    if resize != "standard" and arguments.size is None:
        raise InputError(
            f"model {arguments.model}: says that pictures are resized by the rule {printable(resize)!r}, "
            "inspectd stretches them: state --size if the model takes that, and --roi so that little is "
            "stretched"
        )
    if "mean_values" in facts.metadata or "scale_values" in facts.metadata:
        told |= {"scale": 1.0}
        for name, key, usual in (("mean", "mean_values", "0"), ("deviation", "scale_values", "1")):
            told[name] = _numbers(f"model {arguments.model}: {key}", facts.metadata.get(key, usual))
    if facts.is_anomalibs and facts.resizes:
        told |= _named("anomalib")
    if arguments.preprocessing is not None:
        told |= _named(arguments.preprocessing)
    told |= {
        name: value
        for name, value in (
            ("colours", "grey" if facts.colours == 1 else arguments.colours),
            ("scale", arguments.scale),
            ("mean", None if arguments.mean is None else _numbers("--mean", arguments.mean)),
            (
                "deviation",
                None if arguments.deviation is None else _numbers("--deviation", arguments.deviation),
            ),
        )
        if value is not None
    }
    missing = [f"--{name}" for name in ("colours", "scale", "mean", "deviation") if name not in told]
    if missing:
        raise InputError(
            f"model {arguments.model}: its file does not say how pictures are brought to it: expected "
            f"{', '.join(missing)}, or --preprocessing anomalib (RGB, values 0 to 1) or imagenet"
        )
    if (told["colours"] == "grey") != (facts.colours == 1):
        raise InputError(
            f"--colours: got {told['colours']}, model {arguments.model} takes {facts.colours} channels"
        )
    for name in ("mean", "deviation"):
        values = told[name]
        if not isinstance(values, tuple) or len(values) not in {1, facts.colours}:
            said_by = f"--{name}"
            if getattr(arguments, name) is None and arguments.preprocessing is not None:
                said_by = f"--preprocessing {arguments.preprocessing}, its {name}"
            expected = "1 number" if facts.colours == 1 else f"1 or {facts.colours} numbers"
            raise InputError(
                f"{said_by}: got {values}, model {arguments.model} takes "
                f"{counted(facts.colours, 'channel')}: expected {expected}, as --{name}"
            )
    values = {
        "score_output": facts.score_output, "map_output": facts.map_output, "channels": facts.channels,
        "judged": "map" if facts.score_output is None else "score",
        "is_lower_worse": arguments.lower_is_worse,
    } | told  # fmt: skip
    return converted(values, ImportedOptions, f"model {arguments.model}")


def _named(name: str) -> dict[str, object]:
    return dict(zip(("colours", "scale", "mean", "deviation"), PREPROCESSING[name], strict=True))


def _numbers(what: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise InputError(
            f"{what}: got {printable(text)!r}, expected numbers such as 0.485,0.456,0.406"
        ) from error
