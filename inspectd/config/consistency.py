"""Problems between settings: names, addresses and times that do not fit each other."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from inspectd.config.camera_settings import settings_problems
from inspectd.config.cameras import Camera
from inspectd.config.golden_problems import golden_problems
from inspectd.config.problems import as_far_as_sound, short, sound
from inspectd.config.region_problems import places_in, region_problems
from inspectd.config.settings import Config, LineSettings, PublishSettings, Recipe, Security, Triggers
from inspectd.config.sources import masked
from inspectd.config.values import MOST_PLACES
from inspectd.wire.sockets import TCP_SETTINGS

_RUNTIME_DIR_LIMIT: Final = 84  # bytes; the kernel takes 107 for a socket's whole path


def cross_problems(data: dict[str, Any], base: Path) -> list[str]:
    """Problems between settings. Works on raw data, so that they are found beside all others."""
    problems = []
    tables = {key: value if isinstance(value, list) else [] for key, value in data.items()}
    for key in ("recipes", "cameras"):
        seen: dict[object, int] = {}
        for index, item in enumerate(tables.get(key, [])):
            name = item.get("name") if isinstance(item, dict) else None
            if isinstance(name, str) and name in seen:
                problems.append(
                    f"{key}[{index}].name: {short(name)} is taken by {key}[{seen[name]}], names must differ"
                )
            elif isinstance(name, str):
                seen[name] = index
    recipes = [item.get("name") for item in tables.get("recipes", []) if isinstance(item, dict)]
    for index, item in enumerate(tables.get("cameras", [])):
        recipe = item.get("recipe") if isinstance(item, dict) else None
        if isinstance(recipe, str) and recipe not in recipes:
            known = ", ".join(masked(str(name)) for name in recipes) or "none is declared"
            problems.append(f"cameras[{index}].recipe: no recipe {short(recipe)}, expected one of: {known}")
        camera = as_far_as_sound(item)
        if camera is not None and camera.when_full == "wait" and camera.is_live:
            problems.append(
                f'cameras[{index}].when_full: got "wait", expected "drop" for a live source: '
                "a frame that waited shows the past"
            )
        if camera is not None:
            problems += [f"cameras[{index}].{name}: {problem}" for name, problem in camera.own_problems()]
        problems += region_problems(item, recipes, data.get("batching"), f"cameras[{index}]")
    modes = {
        place: item.get("mode")
        for item in tables.get("cameras", [])
        if isinstance(item, dict) and isinstance(item.get("name"), str)
        for place in places_in(item)
    }
    problems += _place_problems(len(modes))
    problems += golden_problems(data.get("golden"), modes)
    problems += _device_problems(data.get("scoring"))
    security = data.get("security")
    with_keys = isinstance(security, dict) and "keys_dir" in security
    insecure = isinstance(security, dict) and security.get("insecure") is True
    if with_keys and insecure:
        problems.append("security.insecure: got true together with security.keys_dir, expected only one")
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


def _place_problems(count: int) -> list[str]:
    if count <= MOST_PLACES:
        return []
    what = "places that are judged, each a camera or one of its regions"
    return [f"cameras: have {count} {what}, expected at most {MOST_PLACES}; make two lines of them"]


def _device_problems(scoring: object) -> Iterator[str]:
    """Devices that are named twice, or in both of two settings."""
    devices = scoring.get("devices") if isinstance(scoring, dict) else None
    if not isinstance(scoring, dict) or not isinstance(devices, list) or not devices:
        return
    device = scoring.get("device", "auto")
    if device != "auto":
        yield (
            f"scoring.device: got {short(device)} together with scoring.devices, expected only one: "
            f'leave it out, or "auto"'
        )
    for index, name in enumerate(devices):
        if name != "cpu" and name in devices[:index]:
            yield (
                f"scoring.devices[{index}]: got {short(name)} again, expected each card once: two processes "
                "on one card only take its memory from each other"
            )


def timing_problems(data: dict[str, Any]) -> Iterator[str]:
    """Cameras of which nobody knows what a frame shows and when, or no frame can be a trigger's."""
    triggers, line = sound(data.get("triggers", {}), Triggers), sound(data.get("line", {}), LineSettings)
    tables = data.get("cameras")
    for index, item in enumerate(tables if isinstance(tables, list) else []):
        camera, where = as_far_as_sound(item), f"cameras[{index}]"
        if camera is None:
            continue
        yield from _latency_problems(camera, item, where)
        yield from settings_problems(camera, where)
        if camera.mode == "triggered" and triggers is not None and line is not None:
            deadline_ms = min(_deadline_ms(recipe, data, line) for recipe in camera.places.values())
            yield from _reach_problem(camera, triggers, deadline_ms, where)


def _latency_problems(camera: Camera, item: dict[str, Any], where: str) -> Iterator[str]:
    if camera.mode == "triggered" and camera.is_live and "latency_ms" not in item:
        yield (
            f"{where}.latency_ms: is missing, expected the longest time from exposure to time stamp of this "
            "live camera: without it a trigger may get a picture of the previous part; "
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


def _deadline_ms(recipe: str, data: dict[str, Any], line: LineSettings) -> float:
    """The deadline of a camera's parts, as far as it is sound."""
    tables = data.get("recipes")
    found = [sound(table, Recipe) for table in (tables if isinstance(tables, list) else [])]
    return next((r.deadline_ms for r in found if r and r.name == recipe and r.deadline_ms), line.deadline_ms)


def _reach_problem(camera: Camera, triggers: Triggers, deadline_ms: float, where: str) -> Iterator[str]:
    """The problem of a triggered camera whose frames always come too late for their trigger, if it is so."""
    latency_ms = camera.latency_ms or 0.0
    ends = {"triggers.window_ms": triggers.window_ms, "the deadline": deadline_ms}
    name, end_ms = min(ends.items(), key=lambda end: end[1])
    before_ms = triggers.before_ms if triggers.match == "nearest" else 0.0
    if latency_ms >= end_ms + before_ms:
        beside = f" and triggers.before_ms, {before_ms:g}," if before_ms else ""
        yield (
            f"{where}.latency_ms: got {latency_ms:g}, but {name} is {end_ms:g}: a frame that certainly "
            f"belongs to the trigger always comes too late, so every part is missed; expected {name}{beside} "
            "above latency_ms by more than the time between two frames"
        )


def tcp_address(text: str, *, anywhere: bool = False) -> tuple[str, int]:
    """Split `host:port` of a TCP socket, which must be on the loopback interface unless `anywhere` is true.

    Raises:
        ValueError: it is not of that form, or not loopback.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
        raise ValueError(f"got {short(text)}, expected host:port such as 127.0.0.1:5571")
    try:
        loopback = _is_loopback(host)
    except ValueError as error:
        raise ValueError(f"got {short(text)}, expected an IP address before the port") from error
    if not loopback and not anywhere:
        raise ValueError(
            f"got {text!r}, but plain TCP is for this host only: expected 127.0.0.1 or [::1], "
            "or keys (security.keys_dir)"
        )
    return host, int(port)


def plain_tcp(publish: PublishSettings, security: Security) -> dict[str, str]:
    """Each setting of a TCP endpoint without keys, with its address. Nobody is authenticated there."""
    if security.keys_dir is not None:
        return {}
    addresses = {f"publish.{key}": getattr(publish, key) for key in TCP_SETTINGS}
    return {where: text for where, text in addresses.items() if text}


def insecure_endpoints(settings: Config) -> list[str]:
    """The settings that name plain TCP endpoints other hosts can reach; `security.insecure` allows them."""
    return [
        where
        for where, text in plain_tcp(settings.publish, settings.security).items()
        if not _is_loopback(tcp_address(text, anywhere=True)[0])
    ]


def _is_loopback(host: str) -> bool:
    bare = host.strip("[]")
    return bare == "localhost" or ipaddress.ip_address(bare).is_loopback


def _address_problems(publish: dict[str, Any], *, anywhere: bool) -> list[str]:
    problems = []
    seen: dict[tuple[str, int], str] = {}
    for key in TCP_SETTINGS:
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
