"""Chooses settings for `inspectd bank build --tune auto`, and prints what was tried."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.settings_choice import SettingsChoice, SettingsTrial
from inspectd.cli.bank_common import Steps, print_table
from inspectd.errors import InputError
from inspectd.evaluation.choose_settings import DEFAULT, MARGIN, ChosenSettings, choose_settings

_GIVEN: Final = ("size", "grid", "layers", "coreset", "bank_mb")
_PRESET: Final = ("size", "layers", "coreset")
"""What a preset gives."""
_NOTEWORTHY: Final = 1.2
"""Times as long as by default."""
_HEADINGS: Final = ("settings", "AUROC", "gain (95 %)", "found", "time", "")


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


def print_settings(choice: SettingsChoice, image_ms: Mapping[str, float] | None = None) -> None:
    """Print what was tried and chosen; `image_ms`: the time of one image under each, by name."""
    print(f"settings, by {choice.defects} synthetic defects in {choice.images} good images:")
    print_table(_HEADINGS, (_cells(trial, choice, image_ms or {}) for trial in choice.trials))
    print(f"Gain: over the settings in force until then; clear if all of its interval is above {MARGIN:g}")
    times = _times(choice.chosen, image_ms or {})
    if times is not None and times > _NOTEWORTHY:
        print(f"with the chosen settings an image takes about {times:.1f} times as long")
    if choice.given:
        print(f"left as given: {', '.join(choice.given)}")


def _cells(trial: SettingsTrial, choice: SettingsChoice, image_ms: Mapping[str, float]) -> tuple[str, ...]:
    if trial.auroc is None or trial.found is None:
        return trial.name, "", "", "", "", trial.outcome
    outcome = trial.outcome
    if trial.name == choice.chosen:
        outcome = f"chosen: {outcome}" if trial.gain else "kept: no other is clearly better"
    gain = "" if trial.gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*trial.gain)
    times = _times(trial.name, image_ms)
    factor = "" if times is None else f"x{times:.1f}"
    return trial.name, f"{trial.auroc:.3f}", gain, f"{trial.found:.0%}", factor, outcome


def _times(name: str, image_ms: Mapping[str, float]) -> float | None:
    """How many times as long as by default an image takes."""
    return image_ms[name] / image_ms[DEFAULT] if {name, DEFAULT} <= image_ms.keys() else None
