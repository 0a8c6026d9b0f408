"""What a camera can be set to, and what it is set to while a recipe judges its frames."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from inspectd.config.settings import (
    Camera,
    CameraRecipeSettings,
    GenicamCamera,
    ImagesCamera,
    SyntheticCamera,
)
from inspectd.errors import InputError
from inspectd.records import CameraSettings

_V4L2_STEP_US: Final = 100
_MAC: Final = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")


def settings_for(camera: Camera, recipe: CameraRecipeSettings | None = None) -> CameraSettings:
    """What a camera is set to while `recipe` is in force: what that names, and its own settings for the rest.

    A recipe may name only what the camera has a setting of its own for. So every recipe of a line sets the
    same things, and no camera keeps what the product before needed.

    Args:
        camera: the line's.
        recipe: of the store; None: one of the configuration file.

    Raises:
        InputError: the recipe names what this camera cannot be set to, or has no setting of its own for.
    """
    found: dict[str, float | None] = {}
    for name in CameraSettings.__struct_fields__:
        own: float | None = getattr(camera, name)
        wanted: float | None = None if recipe is None else getattr(recipe, name)
        problem = None if wanted is None else setting_problem(camera, name, wanted)
        if problem is None and wanted is not None and own is None:
            problem = (
                f"got {wanted:g}, but the configuration file does not set it for this camera, which would "
                f"keep it for other recipes; set cameras[].{name} there first"
            )
        if problem is not None:
            raise InputError(f"cameras.{camera.name}.{name}: {problem}")
        found[name] = own if wanted is None else wanted
    return CameraSettings(**found)


def setting_problem(camera: Camera, name: str, value: float) -> str | None:
    """Reason why `exposure_us` or `gain_db` of a camera cannot be set to `value`; None: it can be tried."""
    if isinstance(camera, ImagesCamera | GenicamCamera | SyntheticCamera):
        return None
    if camera.origin != "device":
        return f"got {value:g}, but nothing can be set of a {camera.origin}; set it at the camera itself"
    if name == "gain_db":
        return (
            f"got {value:g}, but the gain of a device has no unit (V4L2): nobody knows which value is that "
            "many decibels; leave it out, and set a fixed gain at the camera"
        )
    if value % _V4L2_STEP_US:
        return f"got {value:g}, expected a multiple of {_V4L2_STEP_US}: a device is set in such steps (V4L2)"
    return None


def device_problem(camera: Camera | None, where: str) -> Iterator[str]:
    """The problem of a GenICam camera's `device`, whose form its way of naming a camera sets."""
    if not isinstance(camera, GenicamCamera):
        return
    way, _, value = camera.device.partition(":")
    expected = {
        "ip": "an IPv4 address such as ip:192.168.40.11",
        "mac": "six pairs of hexadecimal digits such as mac:00:11:1c:00:00:01",
    }.get(way)
    if (way == "ip" and not _is_ipv4(value)) or (way == "mac" and not _MAC.fullmatch(value)):
        yield f"{where}.device: got {camera.device!r}, expected {expected}"


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def settings_problems(camera: Camera, where: str) -> Iterator[str]:
    """Problems of a camera's own settings, each with its path."""
    given = {name: getattr(camera, name) for name in CameraSettings.__struct_fields__}
    for name, value in given.items():
        problem = None if value is None else setting_problem(camera, name, value)
        if problem is not None:
            yield f"{where}.{name}: {problem}"
            return
    is_set = any(value is not None for value in given.values())
    if is_set and camera.settle_ns is None and not camera.says_settings:
        yield (
            f"{where}.settle_ms: is missing, expected the longest time from setting the camera to the time "
            "stamp of the first frame that shows it: without it a frame of the exposure before may be "
            "judged; latency_ms and three times the time between two frames suffice for most. A GigE Vision "
            "camera whose frames carry the exposure time (chunks = true) needs none"
        )
