"""A producer's library, through ctypes: the C functions of the GenTL standard. Nothing else calls them.

The standard's own binding (`genicam.gentl`) is not used for them. It ends the process where a library is no
producer, holds the interpreter still while it waits for a frame, and has frames written into `bytes`.

Rules that every call here keeps to:

- A producer calls nothing of ours: events are polled.
- What a function answers is an error unless it is 0; the producer's own words for it go with it.
- A text or number that a producer gives is copied at once.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import FeatureError
from inspectd.capture.genicam.gentl.standard import DataType, Gc
from inspectd.text import printable

_SIZE: Final = POINTER(c_size_t)
_COUNT: Final = POINTER(c_uint32)
_HANDLE: Final = POINTER(c_void_p)
_CHANGED: Final = POINTER(c_uint8)
_INFO: Final = (c_int32, POINTER(c_int32), c_void_p, _SIZE)
_NEEDED: Final[dict[str, tuple[Any, ...]]] = {
    "GCInitLib": (),
    "GCCloseLib": (),
    "GCGetLastError": (POINTER(c_int32), c_char_p, _SIZE),
    "GCReadPort": (c_void_p, c_uint64, c_void_p, _SIZE),
    "GCWritePort": (c_void_p, c_uint64, c_char_p, _SIZE),
    "GCGetPortURL": (c_void_p, c_char_p, _SIZE),
    "GCGetPortInfo": (c_void_p, *_INFO),
    "GCRegisterEvent": (c_void_p, c_int32, _HANDLE),
    "GCUnregisterEvent": (c_void_p, c_int32),
    "EventGetData": (c_void_p, c_void_p, _SIZE, c_uint64),
    "EventGetDataInfo": (c_void_p, c_void_p, c_size_t, *_INFO),
    "EventGetInfo": (c_void_p, *_INFO),
    "TLOpen": (_HANDLE,),
    "TLClose": (c_void_p,),
    "TLGetInfo": (c_void_p, *_INFO),
    "TLUpdateInterfaceList": (c_void_p, _CHANGED, c_uint64),
    "TLGetNumInterfaces": (c_void_p, _COUNT),
    "TLGetInterfaceID": (c_void_p, c_uint32, c_char_p, _SIZE),
    "TLOpenInterface": (c_void_p, c_char_p, _HANDLE),
    "IFClose": (c_void_p,),
    "IFUpdateDeviceList": (c_void_p, _CHANGED, c_uint64),
    "IFGetNumDevices": (c_void_p, _COUNT),
    "IFGetDeviceID": (c_void_p, c_uint32, c_char_p, _SIZE),
    "IFGetDeviceInfo": (c_void_p, c_char_p, *_INFO),
    "IFOpenDevice": (c_void_p, c_char_p, c_int32, _HANDLE),
    "DevClose": (c_void_p,),
    "DevGetInfo": (c_void_p, *_INFO),
    "DevGetPort": (c_void_p, _HANDLE),
    "DevGetNumDataStreams": (c_void_p, _COUNT),
    "DevGetDataStreamID": (c_void_p, c_uint32, c_char_p, _SIZE),
    "DevOpenDataStream": (c_void_p, c_char_p, _HANDLE),
    "DSClose": (c_void_p,),
    "DSGetInfo": (c_void_p, *_INFO),
    "DSAnnounceBuffer": (c_void_p, c_void_p, c_size_t, c_void_p, _HANDLE),
    "DSRevokeBuffer": (c_void_p, c_void_p, _HANDLE, _HANDLE),
    "DSQueueBuffer": (c_void_p, c_void_p),
    "DSFlushQueue": (c_void_p, c_int32),
    "DSStartAcquisition": (c_void_p, c_int32, c_uint64),
    "DSStopAcquisition": (c_void_p, c_int32),
    "DSGetBufferInfo": (c_void_p, c_void_p, *_INFO),
}
_NEWER: Final[dict[str, tuple[Any, ...]]] = {
    "GCGetNumPortURLs": (c_void_p, _COUNT),
    "GCGetPortURLInfo": (c_void_p, c_uint32, *_INFO),
    "DSGetBufferChunkData": (c_void_p, c_void_p, c_void_p, _SIZE),
}
"""Of later versions of the standard; a producer that lacks them has not implemented them."""
_TYPES: Final[dict[int, str]] = {
    DataType.INT16: "=h",
    DataType.UINT16: "=H",
    DataType.INT32: "=i",
    DataType.UINT32: "=I",
    DataType.INT64: "=q",
    DataType.UINT64: "=Q",
    DataType.FLOAT64: "=d",
    DataType.PTR: "@P",
    DataType.BOOL8: "=?",
    DataType.SIZET: "@N",
    DataType.PTRDIFF: "@n",
}
_UNKNOWN: Final = frozenset(
    {Gc.NOT_IMPLEMENTED, Gc.NOT_AVAILABLE, Gc.NO_DATA, Gc.INVALID_PARAMETER, Gc.INVALID_INDEX}
)
"""Answers to a question that a producer has no answer to."""
_NAMES: Final = {int(code): code.name for code in Gc}
_MOST_TEXT: Final = 4096
_MOST_SHOWN: Final = 200
_OTHERS_MAY_WRITE: Final = 0o022
_ELF: Final = b"\x7fELF"
_ELF_HEAD: Final = struct.Struct("<4sBB12xH20xQ10xHH2x")
"""Of a library of 64 bits: mark, width, byte order, machine, and where the table at its end lies."""


class GentlError(FeatureError):
    """A producer refused a call.

    Args:
        function: that was called.
        code: what it answered.
        said: the producer's own words; may be empty.
    """

    def __init__(self, function: str, code: int, said: str) -> None:
        self.code = code
        name = _NAMES.get(code, "of the producer's own")
        words = f"{said} " if said else ""
        super().__init__(f"{words}({function}: error {code}, {name})")


class ProducerLibrary:
    """The loaded library, and its functions with the types that they take.

    Args:
        path: of the `.cti` file.

    Raises:
        CameraError: it cannot be loaded, or is no producer.
    """

    def __init__(self, path: Path) -> None:
        try:
            loaded = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise CameraError(
                f"cti: {path} cannot be loaded: {error}; are all parts of its vendor's package installed?"
            ) from error
        missing = [name for name in _NEEDED if not hasattr(loaded, name)]
        if missing:
            raise CameraError(
                f"cti: {path} is a library, but no GenTL producer: it lacks {missing[0]}"
                f"{f' and {len(missing) - 1} other functions' if missing[1:] else ''}"
            )
        self.path = path
        self.called = f"the GenTL producer {path}"
        self.spent = ""
        """Why nothing can be opened with it again in this process, as it kept something; empty: it can."""
        self._functions: dict[str, Any] = {}
        for name, arguments in (_NEEDED | _NEWER).items():
            function = getattr(loaded, name, None)
            if function is not None:
                function.restype, function.argtypes = c_int32, arguments
                self._functions[name] = function

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function.

        Raises:
            GentlError: it failed, or the producer does not have it.
        """
        function = self._functions.get(name)
        if function is None:
            raise GentlError(name, Gc.NOT_IMPLEMENTED, "")
        code = function(*arguments)
        if code != Gc.SUCCESS:
            raise GentlError(name, code, "" if code == Gc.TIMEOUT else self._last_error())

    def _last_error(self) -> str:
        code, size = c_int32(), c_size_t(_MOST_TEXT)
        text = ctypes.create_string_buffer(_MOST_TEXT)
        if self._functions["GCGetLastError"](byref(code), text, byref(size)) != Gc.SUCCESS:
            return ""
        return _decoded(text.value)

    def handle(self, name: str, *arguments: Any) -> int:
        """What a function opens; it takes the place for that last.

        Raises:
            GentlError: it failed.
        """
        made = c_void_p()
        self.call(name, *arguments, byref(made))
        if made.value is None:
            raise GentlError(name, Gc.INVALID_HANDLE, "it gave nothing")
        return made.value

    def count(self, name: str, *arguments: Any) -> int:
        """How many things a function counts; it takes the place for that last.

        Raises:
            GentlError: it failed.
        """
        number = c_uint32()
        self.call(name, *arguments, byref(number))
        return number.value

    def name(self, name: str, *arguments: Any) -> str:
        """The name that a function gives, as the producer takes it back.

        Raises:
            GentlError: it failed.
        """
        text, size = ctypes.create_string_buffer(_MOST_TEXT), c_size_t(_MOST_TEXT)
        self.call(name, *arguments, text, byref(size))
        return text.value.decode(errors="surrogateescape")

    def info(self, name: str, *arguments: Any) -> str | int | float | None:
        """What one of the functions for information answers; None: the producer has no answer.

        Args:
            name: of the function, such as `DSGetInfo`.
            arguments: all but the last three; the question stands last.

        Raises:
            GentlError: it failed otherwise.
        """
        kind, size = c_int32(), c_size_t(_MOST_TEXT)
        answer = ctypes.create_string_buffer(_MOST_TEXT)
        try:
            self.call(name, *arguments, byref(kind), answer, byref(size))
        except GentlError as error:
            if error.code in _UNKNOWN:
                return None
            raise
        if kind.value == DataType.STRING:
            return _decoded(answer.value)
        form = _TYPES.get(kind.value)
        if form is None or struct.calcsize(form) > size.value:
            raise GentlError(name, Gc.ERROR, f"it answers {size.value} bytes of type {kind.value}")
        found: int | float = struct.unpack_from(form, answer)[0]
        return found

    def number(self, name: str, *arguments: Any) -> int | None:
        """Likewise, of what is a number; None also where it is none."""
        found = self.info(name, *arguments)
        return int(found) if isinstance(found, int) else None

    def text(self, name: str, *arguments: Any) -> str:
        """Likewise, of what is a text for people; empty where there is no answer."""
        found = self.info(name, *arguments)
        return found if isinstance(found, str) else ""


def _decoded(text: bytes) -> str:
    return printable(text.decode(errors="replace").strip())[:_MOST_SHOWN]


def open_library(cti: str) -> ProducerLibrary:
    """Load a producer, if nobody else than root and this user can have put it there.

    Raises:
        CameraError: it is not there, others may write it, or it is no producer for this machine.
    """
    return _loaded(_refuse_file(Path(cti)))


@cache
def _loaded(path: Path) -> ProducerLibrary:
    return ProducerLibrary(path)


def _refuse_file(path: Path) -> Path:
    """Refuse what is no library, and what others could have written: it runs as part of the line.

    Returns:
        The file itself, without symbolic links: what is loaded is what was looked at, since nobody else can
        change anything on the way to it.
    """
    if not path.is_absolute():
        raise CameraError(f"cti: got {path}, expected an absolute path")
    try:
        real = path.resolve(strict=True)
        for checked in (real, *real.parents):
            _refuse_writers(checked)
        (mark, *kind, end), size = _elf_head(real), real.stat().st_size
        _, *own, _ = _elf_head(Path("/proc/self/exe"))
    except OSError as error:
        raise CameraError(
            f"cti: {path} cannot be read: {error.strerror}; expected the GenTL producer that the camera's "
            "vendor installs, a file that ends in .cti"
        ) from error
    if mark != _ELF:
        raise CameraError(f"cti: {path} is no library, expected a GenTL producer for Linux")
    if kind != own:
        raise CameraError(
            f"cti: {path} is for another kind of machine ({_machine(kind)}), expected {_machine(own)}; "
            "install its vendor's package for this one"
        )
    if size < end:  # to load it would end this process
        raise CameraError(f"cti: {path} was cut: it has {size} bytes of {end}; install its package again")
    return real


def _elf_head(path: Path) -> tuple[bytes, int, int, int, int]:
    """A file's mark, width, byte order and machine, and how many bytes it has to have."""
    with path.open("rb") as file:
        head = file.read(_ELF_HEAD.size).ljust(_ELF_HEAD.size, b"\0")
    mark, width, order, machine, table, entry_bytes, entries = _ELF_HEAD.unpack(head)
    return mark, width, order, machine, table + entry_bytes * entries


def _refuse_writers(path: Path) -> None:
    found = path.stat()
    is_folder = stat.S_ISDIR(found.st_mode)
    # In a folder with the sticky bit, such as /tmp, nobody can replace what belongs to somebody else.
    writers = 0 if is_folder and found.st_mode & stat.S_ISVTX else found.st_mode & _OTHERS_MAY_WRITE
    if found.st_uid not in {0, os.geteuid()}:
        raise CameraError(
            f"cti: {path} belongs to user {found.st_uid}, expected root or the user that the line runs as: "
            "what it holds runs as part of the line"
        )
    if writers:
        raise CameraError(
            f"cti: {path} has mode {stat.S_IMODE(found.st_mode):o}, and others may write it, expected 755; "
            f"run `chmod go-w {path}`"
        )


def _machine(kind: list[int]) -> str:
    width, _, number = kind
    bits = {1: "32 bits", 2: "64 bits"}.get(width, "an unknown width")
    names = {3: "x86", 40: "ARM", 62: "x86-64", 183: "ARM64"}
    return f"{names.get(number, f'ELF machine {number}')}, {bits}"
