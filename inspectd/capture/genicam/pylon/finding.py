"""Which cameras pylon sees, and how each of its ways of transport is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from pypylon import pylon

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.found import FoundCamera, choose, is_meant
from inspectd.capture.genicam.pylon.nodes import refusals
from inspectd.text import printable

GIGE: Final = "BaslerGigE"
EMULATED: Final = "BaslerCamEmu"
_TRANSPORTS: Final = ("BaslerUsb", GIGE, EMULATED)
"""It has more, for frame grabbers and for GenTL producers: for those there is backend = "gentl"."""
CALLED: Final = "Basler's pylon"


class Seen(NamedTuple):
    """A camera, and how pylon makes its device."""

    found: FoundCamera
    create: Callable[[], Any]


def about() -> str:
    """What of pylon is installed, for a person."""
    return f"pylon {pylon.GetPylonVersionString()}"


def find(device: str, last: FoundCamera | None, beat: Callable[[], None]) -> Seen:
    """The camera that the settings mean.

    One given by its address is asked there, and nothing is broadcast. So is one that was at an address
    before. Otherwise GigE cameras are looked for by a broadcast on every network of this machine.

    Args:
        device: as in the settings.
        last: what was found before; None: nothing.
        beat: called now and then while that takes long.

    Raises:
        CameraError: there is none, or more than one; the message names what was found.
    """
    way, _, wanted = device.partition(":")
    if way == "ip":
        seen = _at(wanted)
        if seen is None:
            raise CameraError(
                f"no camera of Basler's answers at {wanted}; is it switched on, and has this machine an "
                "address in its network?"
            )
        return seen
    if last is not None and last.ip:
        seen = _at(last.ip)
        beat()
        if seen is not None and is_meant(device, seen.found):
            return seen
    names = (GIGE,) if way == "mac" else _TRANSPORTS
    all_seen: dict[FoundCamera, Seen] = {}
    problems = []
    for name in sorted(names, key=lambda name: last is None or name != last.interface):
        try:
            for seen in _of(name):
                # Where it was last it is looked for first: a broadcast takes its time.
                if last is not None and seen.found == last and is_meant(device, last):
                    return seen
                all_seen[seen.found] = seen
        except CameraError as error:
            problems.append(str(error))
        beat()
    return all_seen[choose(device, list(all_seen), problems, CALLED)]


@cache
def _transport(name: str) -> Any:
    """The transport of that name; None: there is none, or none that works. A second try would look sound."""
    with refusals(name):
        factory = pylon.TlFactory.GetInstance()
        known = {each.GetDeviceClass(): each for each in factory.EnumerateTls()}
        return factory.CreateTl(known[name]) if name in known else None


def _at(address: str) -> Seen | None:
    """The camera at an address, which alone is asked; None: none of Basler's answers there."""
    transport = _transport(GIGE)
    with refusals(f"{GIGE} at {address}"):
        is_there, info = transport.AnnounceRemoteDevice(address)
    return _seen(transport, info) if is_there else None


def _of(name: str) -> Iterator[Seen]:
    transport = _transport(name)
    if transport is None:
        if name == EMULATED:
            return  # nobody asked for any: PYLON_CAMEMU is not set
        raise CameraError(f"{name} cannot be asked: is there a USB bus that this program may reach?")
    with refusals(name):
        infos = transport.EnumerateDevices()
    yield from (_seen(transport, info) for info in infos)


def _seen(transport: Any, info: Any) -> Seen:
    def said(name: str) -> str:
        is_said, text = info.GetPropertyValue(name)
        return printable(text) if is_said else ""

    mac = said("MacAddress").lower()
    found = FoundCamera(
        said("DeviceClass"),
        said("FullName"),
        "",
        said("VendorName"),
        said("ModelName"),
        said("SerialNumber"),
        said("UserDefinedName"),
        said("TLType"),
        ":".join(mac[at : at + 2] for at in range(0, len(mac), 2)),
        said("IpAddress"),
    )
    return Seen(found, lambda: transport.CreateDevice(info))


def look(*, broadcast: bool) -> tuple[list[FoundCamera], list[str]]:
    """All cameras that pylon sees now, and why some of its ways of transport could not be asked.

    Args:
        broadcast: whether GigE cameras are looked for, by a broadcast on every network of this machine.
    """
    found, problems = [], []
    for name in _TRANSPORTS:
        if name == GIGE and not broadcast:
            continue
        try:
            found += [seen.found for seen in _of(name)]
        except CameraError as error:
            problems.append(str(error))
    return found, problems
