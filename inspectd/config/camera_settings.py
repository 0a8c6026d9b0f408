"""What a camera can be set to, and what it is set to while a recipe judges its frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from inspectd.config.cameras import Camera
from inspectd.config.settings import CameraRecipeSettings
from inspectd.errors import InputError
from inspectd.records import CameraSettings


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
        problem = None if wanted is None else camera.setting_problem(name, wanted)
        if problem is None and wanted is not None and own is None:
            problem = (
                f"got {wanted:g}, but the configuration file does not set it for this camera, which would "
                f"keep it for other recipes; set cameras[].{name} there first"
            )
        if problem is not None:
            raise InputError(f"cameras.{camera.name}.{name}: {problem}")
        found[name] = own if wanted is None else wanted
    return CameraSettings(**found)


def settings_by_camera(
    cameras: Iterable[Camera], recipes: Mapping[str, CameraRecipeSettings]
) -> dict[str, CameraSettings]:
    """What each camera is set to while these are in force.

    Args:
        cameras: the line's.
        recipes: what the store's recipe says of each of their places, `CAMERA` or `CAMERA/REGION`.

    Raises:
        InputError: as `settings_for`; or it wants one camera set to different things for its regions.
    """
    found: dict[str, CameraSettings] = {}
    for camera in cameras:
        for place in camera.places:
            wanted = settings_for(camera, recipes[place])
            if found.setdefault(camera.name, wanted) != wanted:
                raise InputError(
                    f"cameras.{place}: is to be taken with {wanted}, another region of the same frames with "
                    f"{found[camera.name]}; expected the same exposure_us and gain_db for all of them"
                )
    return found


def settings_problems(camera: Camera, where: str) -> Iterator[str]:
    """Problems of a camera's own settings, each with its path."""
    given = {name: getattr(camera, name) for name in CameraSettings.__struct_fields__}
    for name, value in given.items():
        problem = None if value is None else camera.setting_problem(name, value)
        if problem is not None:
            yield f"{where}.{name}: {problem}"
            return
    is_set = any(value is not None for value in given.values())
    if is_set and camera.settle_ns is None and not camera.says_settings:
        yield (
            f"{where}.settle_ms: is missing, expected the longest time from setting the camera to the time "
            "stamp of the first frame that shows it: without it a frame of the exposure before may be "
            "judged; latency_ms and three times the time between two frames suffice for most. A GenICam "
            "camera whose frames carry the exposure time (chunks = true) needs none"
        )
