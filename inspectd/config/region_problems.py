"""Problems of a camera's regions. Works on raw data, as `consistency` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from inspectd.config.problems import short, sound
from inspectd.config.settings import Batching
from inspectd.config.sources import masked
from inspectd.wire import place_of


def region_problems(camera: object, recipes: Sequence[object], batching: object, where: str) -> Iterator[str]:
    """Regions that cannot be told apart or judged, and a camera's recipe that judges nothing.

    Args:
        camera: its table as it stands in the file.
        recipes: names of those that the file has.
        batching: that table.
        where: the camera's path.
    """
    given = camera.get("regions") if isinstance(camera, dict) else None
    if not isinstance(camera, dict) or not isinstance(given, list) or not given:
        return
    regions = [region if isinstance(region, dict) else {} for region in given]
    seen: dict[str, int] = {}
    for index, region in enumerate(regions):
        name, recipe = region.get("name"), region.get("recipe")
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            first = f"regions[{seen[name]}]"
            yield f"{where}.regions[{index}].name: {short(name)} is taken by {first}, names must differ"
        if isinstance(recipe, str) and recipe not in recipes:
            known = ", ".join(masked(str(each)) for each in recipes) or "none is declared"
            yield f"{where}.regions[{index}].recipe: no recipe {short(recipe)}, expected one of: {known}"
    named = [region.get("recipe") for region in regions]
    if all(isinstance(name, str) for name in named) and camera.get("recipe") not in named:
        yield (
            f"{where}.recipe: got {short(camera.get('recipe'))}, which judges nothing, as every region names "
            f"another one; expected one of: {', '.join(masked(str(name)) for name in dict.fromkeys(named))}"
        )
    queue = sound({} if batching is None else batching, Batching)
    if queue is not None and queue.max_queue < len(regions):
        yield (
            f"batching.max_queue: got {queue.max_queue}, expected at least {len(regions)}: a frame of "
            f"{where} has so many regions, which wait together, and would always be given up"
        )


def places_in(camera: dict[str, Any]) -> list[str]:
    """See `CameraBase.places`; of a named camera, as far as its table says it."""
    given = camera.get("regions")
    tables = [region for region in (given if isinstance(given, list) else []) if isinstance(region, dict)]
    names = [region["name"] for region in tables if isinstance(region.get("name"), str)]
    return [place_of(camera["name"], name) for name in names or [None]]
