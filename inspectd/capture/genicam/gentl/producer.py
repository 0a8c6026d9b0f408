"""A producer that is open, and the cameras that it sees."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ctypes import byref, c_uint8
from pathlib import Path
from typing import Any, Final

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.found import FoundCamera
from inspectd.capture.genicam.gentl.nodes import NodeFeatures
from inspectd.capture.genicam.gentl.producer_library import GentlError, ProducerLibrary
from inspectd.capture.genicam.gentl.standard import Access, AccessStatus, DeviceInfo, Gc, SystemInfo
from inspectd.capture.genicam.hanging import LibraryHangsError
from inspectd.text import printable

logger = logging.getLogger("inspectd.capture")

_lending = threading.Lock()
_open: dict[Path, Producer] = {}
"""The producers that this process has open. A line's processes have one camera each; `check` has all."""

_INTERFACES_MS: Final = 500
_CAMERAS_MS: Final = 500
"""So long a producer takes answers at most; one that has asked all of them is back sooner."""
_MOST: Final = 256
_TAKEN: Final = frozenset({Gc.ACCESS_DENIED, Gc.RESOURCE_IN_USE, Gc.BUSY})
_NO_SUCH_ACCESS: Final = frozenset({Gc.NOT_IMPLEMENTED, Gc.NOT_AVAILABLE, Gc.INVALID_PARAMETER})
_STATES: Final[dict[int | None, str]] = {
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


class Closing:
    """Steps that close what was opened, the last first.

    Args:
        library: of the producer.
    """

    def __init__(self, library: ProducerLibrary) -> None:
        self._library = library
        self._steps = ExitStack()

    def later(self, function: str, *arguments: Any) -> None:
        """Call a function when all is closed. One that fails then is said, and the others are called too."""
        self._steps.callback(self._quietly, function, *arguments)

    def callback(self, step: Callable[[], None]) -> None:
        """Do something else when all is closed."""
        self._steps.callback(step)

    def close(self) -> None:
        """Take all steps."""
        self._steps.close()

    def _quietly(self, function: str, *arguments: Any) -> None:
        try:
            self._library.call(function, *arguments)
        except GentlError as error:
            self._library.spent = str(error)
            logger.warning("GenTL producer: %s", error)


class Producer:
    """A library that is open, and what is in it. A process can open each only once: see `borrow`.

    Args:
        library: of the producer.

    Raises:
        CameraError: it cannot be opened.
    """

    def __init__(self, library: ProducerLibrary) -> None:
        self._library = library
        self._closing = Closing(library)
        self._interfaces: dict[str, int] = {}
        self._lock = threading.Lock()
        self.borrowers = 0
        library.call("GCInitLib")
        self._closing.later("GCCloseLib")
        try:
            self._system = library.handle("TLOpen")
        except GentlError:
            self._closing.close()
            raise
        self._closing.later("TLClose", self._system)

    def close(self) -> None:
        """Close all of it."""
        self._closing.close()

    def about(self) -> str:
        """Vendor, model and version of the producer."""
        said = (self._library.text("TLGetInfo", self._system, command) for command in SystemInfo)
        return " ".join(filter(None, said))

    def cameras(
        self, beat: Callable[[], None], first: str = "", *, addresses: bool = False
    ) -> Iterator[FoundCamera | str]:
        """All cameras that it sees now, and of an interface that could not be asked, why.

        Args:
            beat: called now and then while that takes long.
            first: the interface to ask first.
            addresses: whether MAC and IP address are wanted too, where its interfaces know them.

        Raises:
            CameraError: it cannot say which there are.
        """
        with self._lock:
            self._library.call("TLUpdateInterfaceList", self._system, byref(c_uint8()), _INTERFACES_MS)
            beat()
            count = self._count("TLGetNumInterfaces", self._system)
            names = [self._library.name("TLGetInterfaceID", self._system, index) for index in range(count)]
        for name in sorted(names, key=lambda name: name != first):
            try:
                with self._lock:
                    found = list(self._of_interface(name, addresses=addresses))
            except GentlError as error:
                yield f"interface {printable(name)}: {error}"
            else:
                yield from found
            beat()

    def _of_interface(self, name: str, *, addresses: bool) -> Iterator[FoundCamera]:
        interface = self._opened(name)
        self._library.call("IFUpdateDeviceList", interface, byref(c_uint8()), _CAMERAS_MS)
        count = self._count("IFGetNumDevices", interface)
        known = _addresses(self._library, interface) if addresses and count else {}
        for index in range(count):
            camera_id = self._library.name("IFGetDeviceID", interface, index)
            asked = ("IFGetDeviceInfo", interface, camera_id.encode(errors="surrogateescape"))
            access = self._library.number(*asked, DeviceInfo.ACCESS_STATUS)
            texts = {field: self._library.text(*asked, command) for field, command in _TEXTS.items()}
            mac, ip = known.get(camera_id, ("", ""))
            yield FoundCamera(name, camera_id, _STATES.get(access, ""), mac=mac, ip=ip, **texts)

    def _count(self, function: str, module: int) -> int:
        """So many as there are: of more than can be listed, nobody knows whether two have the same name."""
        count = self._library.count(function, module)
        if count > _MOST:
            raise GentlError(function, Gc.ERROR, f"it says {count}, expected {_MOST} at most")
        return count

    def _opened(self, name: str) -> int:
        if name not in self._interfaces:
            named = name.encode(errors="surrogateescape")
            self._interfaces[name] = self._library.handle("TLOpenInterface", self._system, named)
            self._closing.later("IFClose", self._interfaces[name])
        return self._interfaces[name]

    def open_camera(self, found: FoundCamera, closing: Closing) -> int:
        """Take control of a camera, so that no other program has it; its handle.

        Args:
            found: the camera.
            closing: closes it again.

        Raises:
            CameraError: another program controls it, or it cannot be opened.
        """
        named = found.id.encode(errors="surrogateescape")
        with self._lock:
            interface = self._opened(found.interface)
        try:
            camera = self._open_as(interface, named)
        except GentlError as error:
            if error.code in _TAKEN:
                raise CameraError(
                    f"another program controls it ({found}): {error}; close that program, or wait some "
                    "seconds if it died"
                ) from error
            raise CameraError(f"{found} cannot be opened: {error}") from error
        closing.later("DevClose", camera)
        return camera

    def _open_as(self, interface: int, named: bytes) -> int:
        try:
            return self._library.handle("IFOpenDevice", interface, named, Access.EXCLUSIVE)
        except GentlError as error:
            if error.code not in _NO_SUCH_ACCESS:
                raise
        # Its kind of camera cannot be kept from others' eyes; nobody else can set it.
        return self._library.handle("IFOpenDevice", interface, named, Access.CONTROL)


def borrow(library: ProducerLibrary, closing: Closing) -> Producer:
    """A producer that is open, for one more camera of this process; the last that gives it back closes it.

    Args:
        library: of the producer.
        closing: gives it back.

    Raises:
        CameraError: it cannot be opened.
        LibraryHangsError: it did not close all that was opened with it before.
    """
    with _lending:
        if library.spent:  # it would go on for ever, and keep a little more each time
            raise LibraryHangsError(
                f"{library.called} did not close what was opened: {library.spent}; this "
                "process ends, and another one takes its place"
            )
        producer = _open.get(library.path)
        if producer is None:
            producer = _open[library.path] = Producer(library)
        producer.borrowers += 1
    closing.callback(lambda: _give_back(library, producer))
    return producer


def _give_back(library: ProducerLibrary, producer: Producer) -> None:
    with _lending:
        producer.borrowers -= 1
        if not producer.borrowers:
            del _open[library.path]
            producer.close()


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
