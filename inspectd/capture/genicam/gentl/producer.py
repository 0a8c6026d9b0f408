"""A producer that is open, and the cameras that it sees."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ctypes import byref, c_uint8
from typing import Any, Final, NamedTuple

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.gentl.library import GentlError, ProducerLibrary
from inspectd.capture.genicam.gentl.nodes import NodeFeatures
from inspectd.capture.genicam.gentl.standard import Access, AccessStatus, DeviceInfo, Gc, SystemInfo

logger = logging.getLogger("inspectd.capture")

_INTERFACES_MS: Final = 500
_CAMERAS_MS: Final = 500
"""So long a producer takes answers at most; one that has asked all of them is back sooner."""
_MOST: Final = 256
_TAKEN: Final = frozenset({Gc.ACCESS_DENIED, Gc.RESOURCE_IN_USE, Gc.BUSY})
_NO_SUCH_ACCESS: Final = frozenset({Gc.NOT_IMPLEMENTED, Gc.NOT_AVAILABLE, Gc.INVALID_PARAMETER})
_IN_WORDS: Final[dict[int | None, str]] = {
    AccessStatus.READONLY: "read only",
    AccessStatus.NOACCESS: "cannot be reached",
    AccessStatus.BUSY: "in use",
    AccessStatus.OPEN_READONLY: "in use",
}
_TEXTS: Final = {
    "vendor": DeviceInfo.VENDOR,
    "model": DeviceInfo.MODEL,
    "serial": DeviceInfo.SERIAL_NUMBER,
    "user_name": DeviceInfo.USER_DEFINED_NAME,
    "transport": DeviceInfo.TLTYPE,
}
"""What is asked for each of `FoundCamera`'s fields."""


class FoundCamera(NamedTuple):
    """What a producer says of a camera; empty texts: nothing."""

    interface: str
    id: str
    access: int | None
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
        state = f", {_IN_WORDS[self.access]}" if self.access in _IN_WORDS else ""
        return f"{self.vendor} {self.model}{serial}{named}, id {self.id}{address}{state}"


class Producer:
    """Opens a library and what is in it; all of that is closed by what was handed in, the last first.

    Args:
        library: of the producer.
        undo: takes the steps that close it again.

    Raises:
        CameraError: it cannot be opened.
    """

    def __init__(self, library: ProducerLibrary, undo: ExitStack) -> None:
        self._library = library
        self.undo = undo
        self._interfaces: dict[str, int] = {}
        library.call("GCInitLib")
        self.later("GCCloseLib")
        self._system = library.handle("TLOpen")
        self.later("TLClose", self._system)
        self.problems: list[str] = []
        """Why an interface could not be asked."""

    def later(self, function: str, *arguments: Any) -> None:
        """Call a function when all is closed. One that fails then is said, and the others are called too."""
        self.undo.callback(self._quietly, function, *arguments)

    def _quietly(self, function: str, *arguments: Any) -> None:
        try:
            self._library.call(function, *arguments)
        except GentlError as error:
            logger.warning("GenTL producer: %s", error)

    def about(self) -> str:
        """Vendor, model and version of the producer."""
        said = (self._library.text("TLGetInfo", self._system, command) for command in SystemInfo)
        return " ".join(filter(None, said))

    def cameras(
        self, beat: Callable[[], None], first: str = "", *, addresses: bool = False
    ) -> Iterator[FoundCamera]:
        """All cameras that it sees now.

        Args:
            beat: called now and then while that takes long.
            first: the interface to ask first.
            addresses: whether MAC and IP address are wanted too, where its interfaces know them.

        Raises:
            CameraError: it cannot say which there are.
        """
        self._library.call("TLUpdateInterfaceList", self._system, byref(c_uint8()), _INTERFACES_MS)
        beat()
        count = min(_MOST, self._library.count("TLGetNumInterfaces", self._system))
        names = [self._library.name("TLGetInterfaceID", self._system, index) for index in range(count)]
        for name in sorted(names, key=lambda name: name != first):
            try:
                found = list(self._of_interface(name, addresses=addresses))
            except GentlError as error:
                self.problems.append(f"interface {name}: {error}")
                continue
            finally:
                beat()
            yield from found

    def _of_interface(self, name: str, *, addresses: bool) -> Iterator[FoundCamera]:
        interface = self._opened(name)
        self._library.call("IFUpdateDeviceList", interface, byref(c_uint8()), _CAMERAS_MS)
        count = min(_MOST, self._library.count("IFGetNumDevices", interface))
        known = _addresses(self._library, interface) if addresses and count else {}
        for index in range(count):
            camera_id = self._library.name("IFGetDeviceID", interface, index)
            asked = ("IFGetDeviceInfo", interface, camera_id.encode(errors="surrogateescape"))
            access = self._library.number(*asked, DeviceInfo.ACCESS_STATUS)
            texts = {field: self._library.text(*asked, command) for field, command in _TEXTS.items()}
            mac, ip = known.get(camera_id, ("", ""))
            yield FoundCamera(name, camera_id, access, mac=mac, ip=ip, **texts)

    def _opened(self, name: str) -> int:
        if name not in self._interfaces:
            named = name.encode(errors="surrogateescape")
            self._interfaces[name] = self._library.handle("TLOpenInterface", self._system, named)
            self.later("IFClose", self._interfaces[name])
        return self._interfaces[name]

    def open_camera(self, found: FoundCamera) -> int:
        """Take control of a camera, so that no other program has it; its handle.

        Raises:
            CameraError: another program controls it, or it cannot be opened.
        """
        interface, named = self._opened(found.interface), found.id.encode(errors="surrogateescape")
        try:
            camera = self._open_as(interface, named)
        except GentlError as error:
            if error.code in _TAKEN:
                raise CameraError(
                    f"another program controls it ({found}): {error}; close that program, or wait some "
                    "seconds if it died"
                ) from error
            raise CameraError(f"{found} cannot be opened: {error}") from error
        self.later("DevClose", camera)
        return camera

    def _open_as(self, interface: int, named: bytes) -> int:
        try:
            return self._library.handle("IFOpenDevice", interface, named, Access.EXCLUSIVE)
        except GentlError as error:
            if error.code not in _NO_SUCH_ACCESS:
                raise
        # Its kind of camera cannot be kept from others' eyes; nobody else can set it.
        return self._library.handle("IFOpenDevice", interface, named, Access.CONTROL)


def _addresses(library: ProducerLibrary, interface: int) -> dict[str, tuple[str, str]]:
    """MAC and IP address of each camera by its id, as far as the interface's own features say them."""
    found = {}
    try:
        features = NodeFeatures(library, interface)
        if not all(
            map(features.has, ("DeviceSelector", "DeviceID", "GevDeviceMACAddress", "GevDeviceIPAddress"))
        ):
            return {}
        for index in range(min(_MOST, features.most("DeviceSelector") + 1)):
            features.set_real("DeviceSelector", index)
            mac = features.whole("GevDeviceMACAddress").to_bytes(8, "big")[2:].hex(":")
            ip = str(ipaddress.IPv4Address(features.whole("GevDeviceIPAddress") & 0xFFFF_FFFF))
            found[features.text("DeviceID")] = mac, ip
    except CameraError as error:
        logger.debug("GenTL producer: addresses of its cameras are not known: %s", error)
    return found
