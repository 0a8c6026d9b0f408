"""Chooses settings for `inspectd bank build --tune auto`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inspectd.bank.build_spec import BuildSpec
from inspectd.cli.bank_common import Steps
from inspectd.errors import InputError
from inspectd.evaluation.choose_settings import ChosenSettings, choose_settings

_GIVEN: Final = ("size", "grid", "layers", "coreset", "bank_mb")
_PRESET: Final = ("size", "layers", "coreset")
"""What a preset gives."""


def chosen_settings(
    arguments: argparse.Namespace, spec: BuildSpec, paths: Sequence[Path], device: str
) -> ChosenSettings | str:
    """Settings for some images, or why none are chosen.

    Raises:
        InputError: `--tune-minutes` is no time.
    """
    if not 0 < arguments.tune_minutes <= 24 * 60:
        raise InputError(f"--tune-minutes: got {arguments.tune_minutes:g}, expected more than 0, up to 1440")
    if arguments.tune == "off":
        return "--tune off"
    if spec.detector != "patchcore":
        return f"--tune chooses for patchcore alone, not for {spec.detector}"
    if spec.foreground:
        return "--foreground: what is judged is not known before the build"
    if not paths:
        return "--tune takes --images, which can be read more than once"
    given = [name for name in _GIVEN if getattr(arguments, name) is not None]
    if arguments.preset is not None:
        given += [name for name in _PRESET if name not in given]
    try:
        with Steps() as steps:
            return choose_settings(
                spec, given, paths, device=device, minutes=arguments.tune_minutes, progress=steps
            )
    except InputError as error:
        return str(error)
