"""Reads a configuration file and reports all its problems at once, each with its path."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from inspectd.config.settings import (
    Camera,
    Config,
    ImagesCamera,
    Line,
    Metrics,
    Publish,
    Recipe,
    Scoring,
    Security,
    Settings,
    Triggers,
)
from inspectd.config.sources import masked
from inspectd.errors import ConfigError

_Table = TypeVar("_Table", bound=Settings)

_TCP_KEYS: Final = ("verdicts_tcp", "heatmaps_tcp", "sync_tcp", "control_tcp")
_LINE_DIRS: Final = ("runtime_dir", "state_dir")
_METRICS_FILES: Final = ("tls_certificate", "tls_key", "users_file")
_WHOLE_SCHEMES: Final = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "tcp")
"""Transports over which nothing is lost unseen; RTSP is asked to send over TCP."""
_RUNTIME_DIR_LIMIT: Final = 84  # bytes; the kernel takes 107 for a socket's whole path


class Examined(msgspec.Struct, frozen=True):
    """A file's problems, and those of its tables that are sound, each with its path."""

    problems: list[str]
    recipes: list[tuple[str, Recipe]]
    cameras: list[tuple[str, Camera]]
    triggers: Triggers | None
    scoring: Scoring | None
    publish: Publish | None
    metrics: Metrics | None
    security: Security | None
    line: Line | None


def load(path: Path, *, unmeasured: bool = False) -> Config:
    """Read a configuration file; relative paths in it become absolute, from the file's own folder.

    Args:
        path: the file.
        unmeasured: take cameras whose latency is missing or cannot be: to be measured, not to be run.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or has problems; all of them are listed.
    """
    data = _read(path)
    base = path.resolve().parent
    problems = [*_problems(data, Config, ""), *_cross_problems(data, base)]
    problems += [] if unmeasured else _timing_problems(data)
    if problems:
        raise ConfigError(str(path), problems)
    settings = msgspec.convert(data, Config)
    return msgspec.structs.replace(
        settings,
        line=_absolute(settings.line, base, *_LINE_DIRS),
        security=_absolute(settings.security, base, "keys_dir"),
        evidence=_absolute(settings.evidence, base, "dir"),
        metrics=_absolute(settings.metrics, base, *_METRICS_FILES),
        recipes=tuple(_absolute_recipe(recipe, base) for recipe in settings.recipes),
        cameras=tuple(_absolute_camera(camera, base) for camera in settings.cameras),
    )


def examine(path: Path) -> Examined:
    """Find every problem of a file, and what of it can be tried out nevertheless.

    Raises:
        ConfigError: the file cannot be read, or is no TOML.
    """
    data = _read(path)
    base = path.resolve().parent
    recipes = _sound_items(data, "recipes", Recipe)
    cameras = _sound_items(data, "cameras", Camera)
    metrics, security = _sound(data.get("metrics", {}), Metrics), _sound(data.get("security", {}), Security)
    line = _sound(data.get("line", {}), Line)
    return Examined(
        [*_problems(data, Config, ""), *_cross_problems(data, base), *_timing_problems(data)],
        [(where, _absolute_recipe(recipe, base)) for where, recipe in recipes],
        [(where, _absolute_camera(camera, base)) for where, camera in cameras],
        _sound(data.get("triggers", {}), Triggers),
        _sound(data.get("scoring", {}), Scoring),
        _sound(data.get("publish", {}), Publish),
        metrics and _absolute(metrics, base, *_METRICS_FILES),
        security and _absolute(security, base, "keys_dir"),
        line and _absolute(line, base, *_LINE_DIRS),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors begin with a BOM
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"is not UTF-8 text: {error}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [f"is not TOML: {error}"]) from error


def _sound_items(data: dict[str, Any], key: str, kind: Any) -> list[tuple[str, Any]]:
    items = data.get(key)
    tried = [
        (f"{key}[{i}]", _sound(item, kind)) for i, item in enumerate(items if isinstance(items, list) else [])
    ]
    return [(where, item) for where, item in tried if item is not None]


def _sound(value: Any, kind: Any) -> Any:
    """`value` as `kind`, or None where it has problems; those are listed elsewhere."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


def tcp_address(text: str, *, anywhere: bool = False) -> tuple[str, int]:
    """Split `host:port` of a TCP socket, which must be on the loopback interface unless `anywhere` is true.

    Raises:
        ValueError: it is not of that form, or not loopback.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
        raise ValueError(f"got {_short(text)}, expected host:port such as 127.0.0.1:5571")
    try:
        loopback = _is_loopback(host)
    except ValueError as error:
        raise ValueError(f"got {_short(text)}, expected an IP address before the port") from error
    if not loopback and not anywhere:
        raise ValueError(
            f"got {text!r}, but plain TCP is for this host only: expected 127.0.0.1 or [::1], "
            "or keys (security.keys_dir)"
        )
    return host, int(port)


def plain_tcp(publish: Publish, security: Security) -> dict[str, str]:
    """Each setting of a TCP endpoint without keys, with its address. Nobody is authenticated there."""
    if security.keys_dir is not None:
        return {}
    addresses = {f"publish.{key}": getattr(publish, key) for key in _TCP_KEYS}
    return {where: text for where, text in addresses.items() if text}


def exposed(settings: Config) -> list[str]:
    """The settings that name plain TCP endpoints other hosts can reach; `security.insecure` allows them."""
    return [
        where
        for where, text in plain_tcp(settings.publish, settings.security).items()
        if not _is_loopback(tcp_address(text, anywhere=True)[0])
    ]


def _is_loopback(host: str) -> bool:
    bare = host.strip("[]")
    return bare == "localhost" or ipaddress.ip_address(bare).is_loopback


def _problems(value: Any, kind: Any, where: str) -> Iterator[str]:
    """Every way in which `value` is not of type `kind`, each with its path."""
    inner, metas = _unwrap(kind)
    if get_origin(inner) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(item, get_args(inner)[0], f"{where}[{index}]")
        yield from _value_problem([], kind, where) if not value else ()
    elif inner == Camera and isinstance(value, dict):
        yield from _camera_problems(value, where)
    elif isinstance(inner, type) and issubclass(inner, Settings) and isinstance(value, dict):
        yield from _table_problems(value, inner, where)
    else:
        yield from _value_problem(value, Annotated[(inner, *metas)] if metas else inner, where)


def _camera_problems(value: dict[str, Any], where: str) -> Iterator[str]:
    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(Camera)}
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        got = "is missing" if kind is None else f"got {_short(kind)}"
        yield f"{where}.kind: {got}, expected one of {', '.join(sorted(kinds))}"
        return
    yield from _table_problems({k: v for k, v in value.items() if k != "kind"}, kinds[kind], where)


def _table_problems(table: dict[str, Any], kind: type[Settings], where: str) -> Iterator[str]:
    hints = get_type_hints(kind, include_extras=True)
    prefix = f"{where}." if where else ""
    for key in table:
        if key not in kind.__struct_fields__:
            yield f"{prefix}{masked(key)}: unknown key, expected one of {', '.join(kind.__struct_fields__)}"
    for field in msgspec.structs.fields(kind):
        if field.name in table:
            yield from _problems(table[field.name], hints[field.name], prefix + field.name)
        elif field.required:
            yield f"{prefix}{field.name}: is missing, expected {_expected(hints[field.name])}"


def _value_problem(value: Any, kind: Any, where: str) -> Iterator[str]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        detail = str(error).split(" - at ")[0]
        if isinstance(value, str):  # msgspec repeats it
            detail = detail.replace(repr(value), _short(value)).replace(value, masked(value))
        yield f"{where}: got {_short(value)}, {detail[:1].lower()}{detail[1:]}"


def _unwrap(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    metas: tuple[Any, ...] = ()
    while get_origin(kind) is Annotated:
        metas = (*kind.__metadata__, *metas)
        kind = kind.__origin__
    return kind, metas


def _expected(kind: Any) -> str:
    _, metas = _unwrap(kind)
    descriptions = [str(meta.description) for meta in metas if meta.description]
    if descriptions:
        return descriptions[0][:1].lower() + descriptions[0][1:].rstrip(".")
    return "at least one"


def _short(value: Any) -> str:
    """A value as it may be shown: it may hold a camera's password, and a table or an array anything."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = repr(masked(value) if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def _cross_problems(data: dict[str, Any], base: Path) -> list[str]:
    """Problems between settings. Works on raw data, so that they are found beside all others."""
    problems = []
    tables = {key: value if isinstance(value, list) else [] for key, value in data.items()}
    for key in ("recipes", "cameras"):
        seen: dict[object, int] = {}
        for index, item in enumerate(tables.get(key, [])):
            name = item.get("name") if isinstance(item, dict) else None
            if isinstance(name, str) and name in seen:
                problems.append(
                    f"{key}[{index}].name: {_short(name)} is taken by {key}[{seen[name]}], names must differ"
                )
            elif isinstance(name, str):
                seen[name] = index
    recipes = [item.get("name") for item in tables.get("recipes", []) if isinstance(item, dict)]
    for index, item in enumerate(tables.get("cameras", [])):
        recipe = item.get("recipe") if isinstance(item, dict) else None
        if isinstance(recipe, str) and recipe not in recipes:
            names = ", ".join(masked(str(name)) for name in recipes) or "none is declared"
            problems.append(f"cameras[{index}].recipe: no recipe {_short(recipe)}, expected one of: {names}")
        camera = _as_far_as_sound(item)
        if camera is not None and camera.when_full == "wait" and camera.is_live:
            problems.append(
                f'cameras[{index}].when_full: got "wait", expected "drop" for a live source: '
                "it would be judged by what it showed long ago"
            )
        if isinstance(item, dict) and (scheme := _lossy_scheme(item.get("source"))):
            problems.append(
                f"cameras[{index}].source: got {scheme}://, expected one of {', '.join(_WHOLE_SCHEMES)}: "
                "what is lost on the way must be seen, or a picture is completed with another part's"
            )
    security = data.get("security")
    with_keys = isinstance(security, dict) and "keys_dir" in security
    insecure = isinstance(security, dict) and security.get("insecure") is True
    if with_keys and insecure:
        problems.append("security.insecure: got true beside security.keys_dir, expected one of them")
    publish = data.get("publish")
    if isinstance(publish, dict):
        problems += _address_problems(publish, anywhere=with_keys or insecure)
    metrics = data.get("metrics")
    if isinstance(metrics, dict) and ("tls_certificate" in metrics) != ("tls_key" in metrics):
        problems.append("metrics: has one of tls_certificate and tls_key, expected both or none")
    line = data.get("line")
    runtime_dir = line.get("runtime_dir") if isinstance(line, dict) else None
    if runtime_dir and len(os.fsencode(base / str(runtime_dir))) > _RUNTIME_DIR_LIMIT:
        problems.append(
            f"line.runtime_dir: {base / str(runtime_dir)} is too long for a socket's path, "
            f"expected at most {_RUNTIME_DIR_LIMIT} bytes"
        )
    return problems


def _lossy_scheme(source: object) -> str | None:
    """The scheme of a source that may lose packets on its way, or that is not known; None for all others."""
    if not isinstance(source, str) or "://" not in source:
        return None
    scheme = source.partition("://")[0].lower()
    return None if scheme in _WHOLE_SCHEMES else scheme


def _as_far_as_sound(item: Any) -> Camera | None:
    """A camera's table without its faulty keys, so that what hangs together is judged beside every fault."""
    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(Camera)}
    kind = kinds.get(str(item.get("kind"))) if isinstance(item, dict) else None
    if kind is None:
        return None
    hints = get_type_hints(kind, include_extras=True)
    sound = {k: v for k, v in item.items() if k in hints and not [*_problems(v, hints[k], "")]}
    camera: Camera | None = _sound(
        {"name": "unnamed", "recipe": "unknown", **sound, "kind": item["kind"]}, Camera
    )
    return camera


def _timing_problems(data: dict[str, Any]) -> Iterator[str]:
    """Cameras whose latency is not told, or is such that no frame can ever be a trigger's."""
    triggers, line = _sound(data.get("triggers", {}), Triggers), _sound(data.get("line", {}), Line)
    tables = data.get("cameras")
    for index, item in enumerate(tables if isinstance(tables, list) else []):
        camera, where = _as_far_as_sound(item), f"cameras[{index}]"
        if camera is None:
            continue
        yield from _latency_problems(camera, item, where)
        if camera.mode == "triggered" and triggers is not None and line is not None:
            yield from _reach_problem(camera, triggers, _deadline_ms(camera.recipe, data, line), where)


def _latency_problems(camera: Camera, item: dict[str, Any], where: str) -> Iterator[str]:
    if camera.mode == "triggered" and camera.is_live and "latency_ms" not in item:
        yield (
            f"{where}.latency_ms: is missing, expected the longest time from light to time stamp of this "
            "live camera, without which a trigger is given a picture of the part before; "
            f"`inspectd camera latency {camera.name} --config FILE` measures it"
        )
    shortest_ns, longest_ns = camera.latency_span_ns
    if shortest_ns > longest_ns:
        longest = (
            f"at most latency_ms, {camera.latency_ms:g}"
            if camera.latency_ms is not None
            else "latency_ms too"
        )
        yield f"{where}.latency_min_ms: got {camera.latency_min_ms:g}, expected {longest}"


def _deadline_ms(recipe: str, data: dict[str, Any], line: Line) -> float:
    """The deadline of a camera's parts, as far as it is sound."""
    tables = data.get("recipes")
    found = [_sound(table, Recipe) for table in (tables if isinstance(tables, list) else [])]
    return next((r.deadline_ms for r in found if r and r.name == recipe and r.deadline_ms), line.deadline_ms)


def _reach_problem(camera: Camera, triggers: Triggers, deadline_ms: float, where: str) -> Iterator[str]:
    """Why no frame of a triggered camera can be a trigger's, however the parts come."""
    latency_ms = camera.latency_ms or 0.0
    ends = {"triggers.window_ms": triggers.window_ms, "the deadline": deadline_ms}
    name, end_ms = min(ends.items(), key=lambda end: end[1])
    before_ms = triggers.before_ms if triggers.match == "nearest" else 0.0
    if latency_ms >= end_ms + before_ms:
        beside = f" and triggers.before_ms, {before_ms:g}," if before_ms else ""
        yield (
            f"{where}.latency_ms: got {latency_ms:g}, and {name} is {end_ms:g}: a frame that is certainly "
            f"the trigger's always comes too late, and every part is missed; expected {name}{beside} above "
            "latency_ms by the time between two frames and more"
        )


def _address_problems(publish: dict[str, Any], *, anywhere: bool) -> list[str]:
    problems = []
    seen: dict[tuple[str, int], str] = {}
    for key in _TCP_KEYS:
        text = publish.get(key)
        if not isinstance(text, str):
            continue
        try:
            address = tcp_address(text, anywhere=anywhere)
        except ValueError as error:
            problems.append(f"publish.{key}: {error}")
            continue
        if address in seen:
            problems.append(
                f"publish.{key}: {text} is also publish.{seen[address]}, expected a port of its own"
            )
        seen[address] = key
    return problems


def _absolute(table: _Table, base: Path, *names: str) -> _Table:
    """The table with those of its paths that are set made absolute."""
    paths = {name: str(base / getattr(table, name)) for name in names if getattr(table, name)}
    return msgspec.structs.replace(table, **paths)


def _absolute_recipe(recipe: Recipe, base: Path) -> Recipe:
    return msgspec.structs.replace(recipe, bank=str(base / recipe.bank))


def _absolute_camera(camera: Camera, base: Path) -> Camera:
    if isinstance(camera, ImagesCamera):
        return msgspec.structs.replace(camera, folder=str(base / camera.folder))
    if isinstance(camera.source, str) and "://" not in camera.source:
        return msgspec.structs.replace(camera, source=str(base / camera.source))
    return camera
