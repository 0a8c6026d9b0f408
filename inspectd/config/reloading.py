"""What of a changed configuration file a running line takes up, and what takes a restart. Pure.

Recipes and cameras can change while the line runs. Whatever else differs takes a restart, and so does a table
that is added to the settings, until somebody has thought about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from inspectd.config.cameras import Camera
from inspectd.config.problems import short
from inspectd.config.settings import Config
from inspectd.config.values import Settings

RELOADED_TABLES: Final = ("recipes", "cameras")
"""Tables of the file that a reload takes up; every other one takes a restart."""
CAMERA_RESTART: Final = ("name", "mode", "exposure_us", "gain_db")
"""Settings of a camera that take a restart, as adding, removing and reordering cameras does.

Recipes that were loaded go by its exposure time and gain where they have none of their own.
"""
CAMERA_REGIONS: Final = "regions"
"""The setting of a camera of which names, number and rectangles take a restart, as adding a camera does."""
CAMERA_RECIPE: Final = "recipe"
"""The setting of a camera, and of its regions, that belongs to the recipes: it leaves the camera alone."""


class ConfigChange(msgspec.Struct, frozen=True):
    """The difference between two whole configurations of one line.

    Attributes:
        restart: what takes a restart, each `path: what it was and what it is`.
        cameras: cameras whose capture process has to start anew, with their new settings.
        recipes: what changed of how parts are judged, in words.
    """

    restart: tuple[str, ...]
    cameras: tuple[Camera, ...]
    recipes: tuple[str, ...]


def compare(old: Config, new: Config) -> ConfigChange:
    """The difference between the configuration that runs and the file as it is now."""
    restart = [
        problem
        for name in Config.__struct_fields__
        if name not in RELOADED_TABLES
        for problem in _table_changes(getattr(old, name), getattr(new, name), name)
    ]
    names, new_names = ([camera.name for camera in config.cameras] for config in (old, new))
    if names != new_names:
        restart.append(
            f"cameras: are {', '.join(new_names)}, the line runs with {', '.join(names)}; to add, remove, "
            "rename or reorder cameras takes a restart"
        )
        return ConfigChange(tuple(restart), (), ())
    pairs = list(zip(old.cameras, new.cameras, strict=True))
    for index, (before, after) in enumerate(pairs):
        for name in CAMERA_RESTART:
            was, now = getattr(before, name, None), getattr(after, name, None)
            restart += _changes(was, now, f"cameras[{index}].{name}")
        restart += _changes(_rectangles(before), _rectangles(after), f"cameras[{index}].{CAMERA_REGIONS}")
    return ConfigChange(
        tuple(restart),
        tuple(after for before, after in pairs if _captured(before) != _captured(after)),
        (*_recipe_changes(old, new), *_choices(pairs)),
    )


def _captured(camera: Camera) -> object:
    """What of a camera its capture process works by."""
    return type(camera), {**msgspec.structs.asdict(camera), CAMERA_RECIPE: None, CAMERA_REGIONS: None}


def _rectangles(camera: Camera) -> tuple[object, ...]:
    """What of a camera's regions frames are cut by."""
    return tuple((region.name, region.rectangle) for region in camera.regions)


def _recipe_changes(old: Config, new: Config) -> Iterator[str]:
    before, after = ({recipe.name: recipe for recipe in config.recipes} for config in (old, new))
    for name in {**before, **after}:
        if name not in after:
            yield f"recipe {name} is gone"
        elif name not in before:
            yield f"recipe {name} is new"
        elif before[name] != after[name]:
            keys = [
                key
                for key in after[name].__struct_fields__
                if getattr(before[name], key) != getattr(after[name], key)
            ]
            yield f"recipe {name}: {', '.join(keys)}"


def _choices(pairs: list[tuple[Camera, Camera]]) -> Iterator[str]:
    for before, after in pairs:
        for place, recipe in after.places.items():
            if before.places.get(place, recipe) != recipe:
                yield f"camera {place}: recipe {recipe} instead of {before.places[place]}"


def _table_changes(old: Settings, new: Settings, where: str) -> Iterator[str]:
    for name in old.__struct_fields__:
        yield from _changes(getattr(old, name), getattr(new, name), f"{where}.{name}")


def _changes(old: object, new: object, where: str) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, tuple):
        yield f"{where}: is not what the line runs with; this takes a restart"
    else:
        now, before = ("unset" if value is None else short(value) for value in (new, old))
        yield f"{where}: is {now}, the line runs with {before}; this takes a restart"
