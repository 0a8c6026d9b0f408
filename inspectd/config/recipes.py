"""A recipe's settings in force and their hash, which identifies it for ever."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from inspectd.config.settings import Recipe


def effective_settings(recipe: Recipe, threshold: float, bank_sha256: str) -> dict[str, Any]:
    """The recipe's settings with its bank's sha256 for the bank's path, and the threshold in force.

    A path does not identify a file's content, and differs from host to host. `accept_threshold` has no effect
    on how parts are judged, and neither has a `check_above` that is not set.
    """
    settings: dict[str, Any] = msgspec.to_builtins(recipe)
    del settings["accept_threshold"]
    # Recipes without these keep the hash they had before there were any.
    if recipe.check_above is None:
        del settings["check_above"]
    if not recipe.quality_off:
        del settings["quality_off"]
    return {**settings, "bank": bank_sha256, "threshold": threshold}


def recipe_sha256(recipe: Recipe, threshold: float, bank_sha256: str) -> str:
    """SHA-256 of `effective_settings` as canonical JSON: UTF-8, keys in order, no spaces."""
    text = msgspec.json.encode(effective_settings(recipe, threshold, bank_sha256), order="sorted")
    return hashlib.sha256(text).hexdigest()
