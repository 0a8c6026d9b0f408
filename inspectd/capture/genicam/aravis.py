"""What of Aravis (libaravis-0.8) is used, through ctypes. Nothing else in the daemon calls it.

Rules that every call here keeps to:

- Aravis calls nothing of ours: streams are polled, and whether control is lost is asked, so that no callback
  of a thread of Aravis' has to outlive what it was given.
- Whoever asked for an object with `new` or `create` owns one reference and gives it back with
  `g_object_unref`. A text or node that Aravis returns belongs to the camera and is copied at once.
- A buffer belongs to the stream from `push` on; `pop` hands it over, and it is pushed again in the same turn.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_void_p
from functools import cache
from typing import Any, Final

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import FeatureError

_CAMERA: Final = "arv_camera_"
_INSTALL: Final = "install it: apt-get install libaravis-0.8-0"


class AravisError(FeatureError):
    """Aravis refused a call, in its own words."""


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p))


class AravisLibrary:
    """The loaded libraries, and their functions with the types that they take.

    Raises:
        CameraError: a library is not installed.
    """

    def __init__(self) -> None:
        self._arv = _loaded("libaravis-0.8.so.0")
        self._gio = _loaded("libgio-2.0.so.0")
        self._gobject = _loaded("libgobject-2.0.so.0")
        self._glib = _loaded("libglib-2.0.so.0")
        # Only GigE Vision is asked: another interface would look at every USB device of the machine.
        for name in (b"USB3Vision", b"Fake"):
            self.plain("arv_disable_interface", None, c_char_p)(name)

    def plain(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """A function of Aravis that cannot fail."""
        function = getattr(self._arv, name)
        function.restype, function.argtypes = result, arguments
        return function  # type: ignore[no-any-return]

    def call(self, name: str, result: Any, *typed: tuple[Any, Any]) -> Any:
        """Call a function of Aravis that takes a `GError **` last.

        Args:
            name: of the function.
            result: its ctypes type, None for void.
            typed: its arguments, each with its type.

        Raises:
            AravisError: it failed.
        """
        function = getattr(self._arv, name)
        function.restype = result
        function.argtypes = [*(kind for kind, _ in typed), POINTER(POINTER(_GError))]
        error = POINTER(_GError)()
        answer = function(*(value for _, value in typed), byref(error))
        if error:
            text = (error.contents.message or b"").decode(errors="replace")
            self._glib.g_error_free.argtypes = [c_void_p]
            self._glib.g_error_free(error)  # the caller owns an error it was given
            raise AravisError(text or name)
        return answer

    def unref(self, thing: int) -> None:
        """Give back a reference; the last one frees the object."""
        self._gobject.g_object_unref.argtypes = [c_void_p]
        self._gobject.g_object_unref(thing)

    def free(self, memory: Any) -> None:
        """Free memory that a `dup` gave."""
        self._glib.g_free.argtypes = [c_void_p]
        self._glib.g_free(memory)

    def set_numbers(self, thing: int, **values: int) -> None:
        """Set properties of an object that are 32 bits wide; `_` in a name stands for `-`."""
        setter = self._gobject.g_object_set
        setter.restype = None
        for name, value in values.items():
            # The call takes any number of arguments and ends at a null.
            setter(c_void_p(thing), c_char_p(name.replace("_", "-").encode()), c_uint(value), c_void_p(None))

    def is_a(self, thing: int, type_function: str) -> bool:
        """Whether an object is of the type that the function gives."""
        kind = self.plain(type_function, c_size_t)()
        self._gobject.g_type_check_instance_is_a.argtypes = [c_void_p, c_size_t]
        return bool(self._gobject.g_type_check_instance_is_a(thing, kind))

    def inet_address(self, text: str) -> int:
        """An address as GIO has it, owned by the caller."""
        maker = self._gio.g_inet_address_new_from_string
        maker.restype, maker.argtypes = c_void_p, [c_char_p]
        made: int | None = maker(text.encode())
        if made is None:
            raise CameraError(f"{text} is no IP address")
        return made

    def gige_addresses(self) -> list[str]:
        """Addresses of the cameras that answer a broadcast on this machine's networks; takes a second."""
        self.plain("arv_update_device_list", None)()
        count = self.plain("arv_get_n_devices", c_uint)()
        address = self.plain("arv_get_device_address", c_char_p, c_uint)
        return sorted({(address(i) or b"").decode(errors="replace") for i in range(count)} - {""})


def _loaded(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise CameraError(
            f"GenICam cameras need the library {name}, which is not there; {_INSTALL}"
        ) from error


@cache
def library() -> AravisLibrary:
    """The library, loaded at the first call.

    Raises:
        CameraError: it is not installed.
    """
    return AravisLibrary()


class AravisCamera:
    """A GigE Vision camera that is open, with its features by their names.

    Args:
        interface: address of this machine in the camera's network.
        address: the camera's.

    Raises:
        AravisError: it does not answer, or what it says of itself cannot be read.
    """

    def __init__(self, interface: str, address: str) -> None:
        self._library = library()
        here, there = self._library.inet_address(interface), self._library.inet_address(address)
        try:
            # By address: nothing is broadcast, and no other camera can be meant.
            self._device: int = self._library.call(
                "arv_gv_device_new", c_void_p, (c_void_p, here), (c_void_p, there)
            )
        finally:
            self._library.unref(here)
            self._library.unref(there)
        try:
            self.pointer: int = self._library.call(
                "arv_camera_new_with_device", c_void_p, (c_void_p, self._device)
            )
        except AravisError:
            self._library.unref(self._device)
            raise

    @property
    def has_control(self) -> bool:
        """Whether this process still has control, as Aravis' own heartbeat last saw it."""
        return bool(self._library.plain("arv_gv_device_is_controller", c_int, c_void_p)(self._device))

    def close(self) -> None:
        """Give control back and let go of it; takes seconds where the camera is gone."""
        self._library.unref(self.pointer)
        self._library.unref(self._device)  # the last one: Aravis gives control back and ends its heartbeat

    def do(self, name: str, *typed: tuple[Any, Any], result: Any = None) -> Any:
        """Call `arv_camera_NAME` of this camera."""
        return self._library.call(_CAMERA + name, result, (c_void_p, self.pointer), *typed)

    def has(self, feature: str) -> bool:
        """Whether the camera has a feature now."""
        return bool(self.do("is_feature_available", (c_char_p, feature.encode()), result=c_int))

    def text(self, feature: str) -> str:
        """Value of a text or choice."""
        found: bytes | None = self.do("get_string", (c_char_p, feature.encode()), result=c_char_p)
        return (found or b"").decode(errors="replace")

    def set_text(self, feature: str, value: str) -> None:
        """Set a text or choice."""
        self.do("set_string", (c_char_p, feature.encode()), (c_char_p, value.encode()))

    def whole(self, feature: str) -> int:
        """Value of a whole number."""
        return int(self.do("get_integer", (c_char_p, feature.encode()), result=c_int64))

    def set_whole(self, feature: str, value: int) -> None:
        """Set a whole number."""
        self.do("set_integer", (c_char_p, feature.encode()), (c_int64, value))

    def real(self, feature: str) -> float:
        """Value of a number."""
        return float(self.do("get_float", (c_char_p, feature.encode()), result=c_double))

    def set_real(self, feature: str, value: float) -> None:
        """Set a number."""
        self.do("set_float", (c_char_p, feature.encode()), (c_double, value))

    def flag(self, feature: str) -> bool:
        """Value of what is on or off."""
        return bool(self.do("get_boolean", (c_char_p, feature.encode()), result=c_int))

    def set_flag(self, feature: str, *, value: bool) -> None:
        """Switch on or off."""
        self.do("set_boolean", (c_char_p, feature.encode()), (c_int, value))

    def is_known(self, feature: str) -> bool:
        """Whether the camera's description names a feature, whether it has a value now or not."""
        return self._node(feature) is not None

    def is_real(self, feature: str) -> bool:
        """Whether a feature is a number that may have a fraction."""
        node = self._node(feature)
        return node is not None and self._library.is_a(node, "arv_gc_float_get_type")

    def _node(self, feature: str) -> int | None:
        find = self._library.plain("arv_device_get_feature", c_void_p, c_void_p, c_char_p)
        node: int | None = find(self._device, feature.encode())
        return node

    def unit(self, feature: str) -> str:
        """Unit that the camera gives for a number; empty where it gives none."""
        node = self._node(feature)
        if node is None or not self._library.is_a(node, "arv_gc_float_get_type"):
            return ""
        unit: bytes | None = self._library.call("arv_gc_float_get_unit", c_char_p, (c_void_p, node))
        return (unit or b"").decode(errors="replace")

    def choices(self, feature: str) -> list[str]:
        """Values that a choice may have now."""
        count = c_uint()
        found = self.do(
            "dup_available_enumerations_as_strings",
            (c_char_p, feature.encode()),
            (POINTER(c_uint), byref(count)),
            result=POINTER(c_char_p),
        )
        names = [(found[index] or b"").decode(errors="replace") for index in range(count.value)]
        self._library.free(found)  # the array is ours, its texts are the camera's
        return names

    def execute(self, feature: str) -> None:
        """Have the camera do what a command stands for."""
        self.do("execute_command", (c_char_p, feature.encode()))

    def exposure_us(self) -> float:
        """Exposure time, microseconds."""
        return float(self.do("get_exposure_time", result=c_double))

    def set_exposure_us(self, value_us: float) -> None:
        """Set the exposure time, microseconds."""
        self.do("set_exposure_time", (c_double, value_us))

    def find_packet_size(self, wished_bytes: int | None) -> int:
        """Set the packet size, or have the largest that gets through found by test packets.

        Args:
            wished_bytes: the size; None: to be found.

        Returns:
            The size that the camera says it has now, bytes.
        """
        # Here and now, and not once more when the stream is made.
        never = 0
        self._library.plain("arv_camera_gv_set_packet_size_adjustment", None, c_void_p, c_int)(
            self.pointer, never
        )
        if wished_bytes is None:
            self.do("gv_auto_packet_size", result=c_uint)
        else:
            self.do("gv_set_packet_size", (c_int, wished_bytes))
        return self.packet_bytes()

    def packet_bytes(self) -> int:
        """Size of its packets as the camera says it."""
        return int(self.do("gv_get_packet_size", result=c_uint))

    def without_packet_socket(self) -> None:
        """Receive by an ordinary socket: the other kind takes rights that a service does not have."""
        self._library.plain("arv_camera_gv_set_stream_options", None, c_void_p, c_int)(self.pointer, 1)

    def payload_bytes(self) -> int:
        """Bytes of a frame as the camera is set now."""
        return int(self.do("get_payload", result=c_uint))
