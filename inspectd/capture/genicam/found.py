"""Cameras that a vendor's library sees, and which of them the settings mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from inspectd.capture.driver import CameraError
from inspectd.text import printable

_FIELDS = {"serial": "serial", "name": "user_name", "id": "id", "mac": "mac", "ip": "ip"}


class FoundCamera(NamedTuple):
    """What a library says of a camera; empty texts: nothing."""

    interface: str
    id: str
    state: str
    """Why it may not be had, such as `in use`; empty: nothing is known that speaks against it."""
    vendor: str
    model: str
    serial: str
    user_name: str
    transport: str
    mac: str = ""
    ip: str = ""

    def __str__(self) -> str:
        """In one line, for a person."""
        named = f' named "{self.user_name}"' if self.user_name else ""
        serial = f" serial {self.serial}" if self.serial else ""
        address = f", mac {self.mac}, at {self.ip}" if self.mac else ""
        state = f", {self.state}" if self.state else ""
        return f"{self.vendor} {self.model}{serial}{named}, id {printable(self.id)}{address}{state}"


class ListedCamera(msgspec.Struct, frozen=True):
    """A camera that a library sees, as `inspectd camera list` shows it; empty texts: it does not say."""

    id: str
    serial: str
    user_name: str
    transport: str
    mac: str
    ip: str
    described: str
    """All of it in one line, and whether another program has it."""

    @classmethod
    def of(cls, found: FoundCamera) -> ListedCamera:
        """A camera that was found."""
        return cls(
            found.id,
            found.serial,
            found.user_name,
            found.transport,
            found.mac,
            found.ip,
            str(found),
        )


def is_meant(device: str, found: FoundCamera) -> bool:
    """Whether a camera is the one that `device` means, such as `serial:40012345`."""
    way, _, wanted = device.partition(":")
    said: str = getattr(found, _FIELDS[way])
    return said == (wanted.lower().replace("-", ":") if way == "mac" else wanted)


def choose(device: str, found: Sequence[FoundCamera], problems: Sequence[str], library: str) -> FoundCamera:
    """The one of `found` that `device` means; never another.

    Args:
        device: as in the settings.
        found: cameras that the library sees.
        problems: why some of its interfaces could not be asked.
        library: what it is called, such as `the producer`.

    Raises:
        CameraError: none is, or more than one, or the library does not say what is asked for.
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
            f"{library} says no {way} of its cameras; give one by serial or id; cameras found: {listed}"
        )
    raise CameraError(f"no camera with {way} {wanted}; cameras found: {listed}")
