"""Which of a producer's cameras the settings mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.gentl.producer import FoundCamera

_FIELDS = {"serial": "serial", "name": "user_name", "id": "id", "mac": "mac", "ip": "ip"}


def is_meant(device: str, found: FoundCamera) -> bool:
    """Whether a camera is the one that `device` means, such as `serial:40012345`."""
    way, _, wanted = device.partition(":")
    said: str = getattr(found, _FIELDS[way])
    return said == (wanted.lower().replace("-", ":") if way == "mac" else wanted)


def choose(device: str, found: Sequence[FoundCamera], problems: Sequence[str]) -> FoundCamera:
    """The one of `found` that `device` means; never another.

    Args:
        device: as in the settings.
        found: cameras that the producer sees.
        problems: why some of its interfaces could not be asked.

    Raises:
        CameraError: none is, or more than one, or the producer does not say what is asked for.
    """
    meant = [camera for camera in found if is_meant(device, camera)]
    if len(meant) == 1:
        return meant[0]
    way, _, wanted = device.partition(":")
    if meant:
        listed = "; ".join(map(str, meant))
        raise CameraError(f"{len(meant)} cameras have {way} {wanted}: {listed}; give one of them by id")
    listed = "; ".join([*map(str, found), *problems]) or "none"
    if found and not any(getattr(camera, _FIELDS[way]) for camera in found):
        raise CameraError(
            f"the producer says no {way} of its cameras; give one by serial or id; cameras found: {listed}"
        )
    raise CameraError(f"no camera with {way} {wanted}; cameras found: {listed}")
