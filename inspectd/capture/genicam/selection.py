"""Finds the one camera that the settings mean, and never another."""

from __future__ import annotations

from collections.abc import Sequence

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.aravis import library
from inspectd.capture.genicam.gvcp import GigeIdentity, identify


def find_camera(device: str, last_address: str | None) -> GigeIdentity:
    """The camera that `device` means.

    One given by its address is asked there and nothing is broadcast; others are looked for where they were
    last, then by a broadcast on every network of this machine, which takes a second.

    Args:
        device: as in the settings, such as `serial:40012345`.
        last_address: where it was before; None: nobody knows.

    Raises:
        CameraError: there is none, or more than one; the message names what was found.
    """
    way, _, wanted = device.partition(":")
    if way == "ip":
        found = identify(wanted)
        if found is None:
            raise CameraError(
                f"no camera answers at {wanted}; is it switched on, and has this machine an address in its "
                "network?"
            )
        return found
    last = identify(last_address) if last_address is not None else None
    if last is not None and is_meant(way, wanted, last):
        return last
    addresses = library().gige_addresses()
    answers = [(address, identify(address)) for address in addresses]
    return choose(way, wanted, [found for _, found in answers if found], [a for a, f in answers if f is None])


def is_meant(way: str, wanted: str, found: GigeIdentity) -> bool:
    """Whether a camera is the one that is wanted by `serial`, `mac` or `name`."""
    if way == "mac":
        return found.mac == wanted.lower().replace("-", ":")
    return wanted == (found.serial if way == "serial" else found.user_name)


def choose(way: str, wanted: str, found: Sequence[GigeIdentity], silent: Sequence[str]) -> GigeIdentity:
    """The one of `found` that is wanted.

    Args:
        way: `serial`, `mac` or `name`.
        wanted: its value.
        found: cameras that answer.
        silent: addresses of cameras that answered a broadcast, and nothing else.

    Raises:
        CameraError: none is, or more than one.
    """
    meant = [camera for camera in found if is_meant(way, wanted, camera)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        listed = "; ".join(map(str, meant))
        raise CameraError(
            f"{len(meant)} cameras have {way} {wanted}: {listed}; give one of them by mac or ip"
        )
    listed = "; ".join(map(str, found)) or "none"
    unreachable = (
        f"; at {', '.join(silent)} one answers broadcasts only: its address is not in this machine's network"
        if silent
        else ""
    )
    raise CameraError(f"no camera with {way} {wanted}; cameras found: {listed}{unreachable}")
