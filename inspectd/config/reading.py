"""Reads a configuration file and reports all its problems at once, each with its path."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from inspectd.config.camera_base import CameraBase, GeometrySettings, PresenceSettings
from inspectd.config.cameras import Camera
from inspectd.config.consistency import cross_problems, timing_problems
from inspectd.config.places import other_line_problems
from inspectd.config.problems import named, names_in, problems, sound
from inspectd.config.settings import (
    Config,
    EvidenceSettings,
    LineSettings,
    MetricsSettings,
    PublishSettings,
    Recipe,
    ScoringSettings,
    Security,
    Triggers,
)
from inspectd.config.synthetic_camera import SyntheticCamera
from inspectd.config.toml_faults import not_utf8, told
from inspectd.config.values import Settings
from inspectd.errors import ConfigError, InputError
from inspectd.files import open_regular

_Table = TypeVar("_Table", bound=Settings)

_MOST_BYTES: Final = 4_000_000

_PATHS: Final[dict[type[Settings], tuple[str, ...]]] = {
    LineSettings: ("runtime_dir", "state_dir"),
    Recipe: ("bank",),
    Security: ("keys_dir",),
    EvidenceSettings: ("dir",),
    GeometrySettings: ("calibration",),
    PresenceSettings: ("empty_folder",),
    MetricsSettings: ("tls_certificate", "tls_key", "users_file"),
    SyntheticCamera: ("fault_file",),
}
"""Settings that name files or folders; a camera has its `source_key` too."""


class Examined(msgspec.Struct, frozen=True):
    """A file's problems, and those of its tables that are sound, each with its path."""

    problems: list[str]
    settings: Config | None
    """All of the file, as `load` reads it; None where there is a problem."""
    names: dict[str, str]
    """What the cameras are called, by their numbers, such as `cameras[0]`."""
    recipes: list[tuple[str, Recipe]]
    cameras: list[tuple[str, Camera]]
    triggers: Triggers | None
    scoring: ScoringSettings | None
    publish: PublishSettings | None
    metrics: MetricsSettings | None
    security: Security | None
    line: LineSettings | None


class Kept(msgspec.Struct, frozen=True):
    """Where a line keeps what it keeps, of a file that may have problems elsewhere."""

    line: LineSettings
    evidence: EvidenceSettings
    recipes: tuple[str, ...]
    """Names of its recipes, of those that are sound."""
    problems: list[str]
    """All of the file's; none of them changes what is told here."""


def load(path: Path, *, unmeasured: bool = False) -> Config:
    """Read a configuration file; relative paths in it become absolute, from the file's own folder.

    Args:
        path: the file.
        unmeasured: take cameras whose latency is missing or cannot be: to be measured, not to be run.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    data = read_toml(path)
    base = path.resolve().parent
    found = [*problems(data, Config, ""), *cross_problems(data, base)]
    found += [] if unmeasured else timing_problems(data)
    if not found:
        settings = _absolute(msgspec.convert(data, Config), base)
        found = [*other_line_problems(settings.line.name)]
    if found:
        raise ConfigError(str(path), named(found, names_in(data)))
    return settings


def load_camera(path: Path, name: str, *, unmeasured: bool = False) -> tuple[Config, Camera]:
    """Read a configuration file as `load` does, and find its camera `name`.

    Raises:
        ConfigError: the file has problems.
        InputError: it has no such camera.
    """
    settings = load(path, unmeasured=unmeasured)
    for camera in settings.cameras:
        if camera.name == name:
            return settings, camera
    names = ", ".join(camera.name for camera in settings.cameras)
    raise InputError(f"{path}: has no camera {name!r}, expected one of: {names}")


def load_kept(path: Path) -> Kept:
    """Read of a file where its line keeps what it keeps: the line runs on while somebody edits the file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a problem that these may be wrong by: in
            their tables, or an unknown table, which may be one of them misspelt.
    """
    data = read_toml(path)
    base = path.resolve().parent
    found = [*problems(data, Config, ""), *cross_problems(data, base), *timing_problems(data)]
    line, evidence = (
        sound(data.get("line", {}), LineSettings),
        sound(data.get("evidence", {}), EvidenceSettings),
    )
    others = [] if line is None else [*other_line_problems(line.name)]
    if line is None or evidence is None or others or data.keys() - {*Config.__struct_fields__}:
        raise ConfigError(str(path), named([*found, *others], names_in(data)))
    given = data.get("recipes")
    recipes = [sound(each, Recipe) for each in (given if isinstance(given, list) else [])]
    return Kept(
        _absolute(line, base),
        _absolute(evidence, base),
        tuple(recipe.name for recipe in recipes if recipe is not None),
        named(found, names_in(data)),
    )


def examine(path: Path) -> Examined:
    """Find every problem of a file, and what of it can be tried out nevertheless.

    Raises:
        ConfigError: the file cannot be read, or is not TOML.
    """
    data = read_toml(path)
    base = path.resolve().parent

    def table(key: str, kind: type[_Table]) -> _Table | None:
        value = sound(data.get(key, {}), kind)
        return None if value is None else _absolute(value, base)

    def items(key: str, kind: Any) -> list[tuple[str, Any]]:
        values = data.get(key)
        tried = [sound(value, kind) for value in (values if isinstance(values, list) else [])]
        return [(f"{key}[{i}]", _absolute(item, base)) for i, item in enumerate(tried) if item is not None]

    line = table("line", LineSettings)
    found = [*problems(data, Config, ""), *cross_problems(data, base), *timing_problems(data)]
    found += [] if line is None else other_line_problems(line.name)
    return Examined(
        found,
        None if found else _absolute(msgspec.convert(data, Config), base),
        names_in(data),
        items("recipes", Recipe),
        items("cameras", Camera),
        table("triggers", Triggers),
        table("scoring", ScoringSettings),
        table("publish", PublishSettings),
        table("metrics", MetricsSettings),
        table("security", Security),
        line,
    )


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file in UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: it cannot be read, has more than 4 MB, or is not TOML.
    """
    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except InputError as error:
        what = "a folder" if path.is_dir() else "not a regular file"
        raise ConfigError(str(path), [f"is {what}, expected a TOML file"]) from error
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    if len(data) > _MOST_BYTES:  # another file was copied over it, and a line that runs reads it again
        what = f"has more than {_MOST_BYTES / 1e6:g} MB, expected a TOML file; is another file meant?"
        raise ConfigError(str(path), [what])
    text = ""
    try:
        with io.TextIOWrapper(io.BytesIO(data), "utf-8-sig") as decoded:  # Windows editors begin with a BOM
            text = decoded.read()
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [not_utf8(error)]) from error
    except (ValueError, RecursionError) as error:  # also numbers of 5000 digits, arrays 1000 deep
        raise ConfigError(str(path), [told(error, text)]) from error


def _absolute(table: _Table, base: Path) -> _Table:
    """The table, and those in it, with relative paths made absolute."""
    names = _PATHS.get(type(table), ())
    if isinstance(table, CameraBase) and table.source_is_path:
        names = (*names, table.source_key)
    changed: dict[str, Any] = {}
    for name in table.__struct_fields__:
        value = getattr(table, name)
        if isinstance(value, Settings):
            changed[name] = _absolute(value, base)
        elif isinstance(value, tuple):
            changed[name] = tuple(
                _absolute(item, base) if isinstance(item, Settings) else item for item in value
            )
        elif name in names and isinstance(value, str) and value and "://" not in value:
            changed[name] = str(_from(base, value))
    return msgspec.structs.replace(table, **changed)


def _from(base: Path, value: str) -> Path:
    """`value` from the folder `base`, which has no links, without `..` at its beginning: people read it."""
    path = Path(value)
    while path.parts[:1] == ("..",):
        base, path = base.parent, Path(*path.parts[1:])
    return base / path
