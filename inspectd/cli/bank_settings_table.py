"""Prints which settings `bank build --tune auto` tried, and why it chose what it chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inspectd.bank.settings_choice import DEFAULT, MARGIN, SettingsChoice, SettingsTrial
from inspectd.cli.bank_common import print_table

_NOTEWORTHY: Final = 1.2
"""Times as long as by default."""
_HEADINGS: Final = ("settings", "AUROC", "gain (95 %)", "found", "time", "")


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
