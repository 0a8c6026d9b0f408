"""Features of a module with registers, by the GenICam committee's own reader of descriptions."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_size_t, create_string_buffer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from genicam import genapi

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import FeatureError
from inspectd.capture.genicam.gentl.producer_library import GentlError, ProducerLibrary
from inspectd.capture.genicam.gentl.standard import Gc, PortInfo, UrlInfo
from inspectd.capture.genicam.names import exposure_feature, in_words
from inspectd.text import printable

_MOST_BYTES: Final = 64 << 20
_AVAILABLE: Final = frozenset({genapi.EAccessMode.RO, genapi.EAccessMode.WO, genapi.EAccessMode.RW})
_FRESH: Final = (False, True)
"""`get_value` without a check, and from the camera instead of what was written to it before."""


class _Port(genapi.AbstractPort):  # type: ignore[misc]  # genicam says nothing of its types
    """Registers of a module, as the reader of descriptions asks for them."""

    def __init__(self, library: ProducerLibrary, port: int) -> None:
        super().__init__()
        self._library = library
        self._port = port

    def read(self, address: int, length: int) -> bytes:
        """So many bytes from an address on."""
        return _read(self._library, self._port, address, length)

    def write(self, address: int, data: bytes) -> None:
        """Put bytes at an address."""
        self._library.call("GCWritePort", self._port, address, bytes(data), byref(c_size_t(len(data))))

    def get_access_mode(self) -> int:
        """It can be read and written."""
        return int(genapi.EAccessMode.RW)

    def is_open(self) -> bool:
        """It is, as long as there is this object."""
        return True


def _read(library: ProducerLibrary, port: int, address: int, length: int) -> bytes:
    memory, size = create_string_buffer(length), c_size_t(length)
    library.call("GCReadPort", port, address, memory, byref(size))
    if size.value != length:
        raise GentlError("GCReadPort", Gc.ERROR, f"it read {size.value} of {length} bytes")
    return memory.raw


@contextmanager
def _refusals(feature: str) -> Iterator[None]:
    """What the reader of descriptions throws, in one line."""
    try:
        yield
    except genapi.GenericException as error:
        raise FeatureError(f"{feature}: {in_words(error)}") from error


class NodeFeatures:
    """A module's features; see `camera.Features`.

    Args:
        library: of the producer.
        port: handle of the module that has the registers.

    Raises:
        CameraError: its description cannot be had, or not be read.
    """

    def __init__(self, library: ProducerLibrary, port: int) -> None:
        self._port = _Port(library, port)
        self.nodes = genapi.NodeMap()
        with _refusals("its description cannot be read"):
            self.nodes.load_xml_from_string(_description(library, port))
            self.nodes.connect(self._port, library.text("GCGetPortInfo", port, PortInfo.PORTNAME) or "Device")

    def _node(self, feature: str) -> Any:
        with _refusals(feature):
            return self.nodes.get_node(feature)

    @contextmanager
    def _of(self, feature: str, *kinds: type) -> Iterator[Any]:
        """A feature's node, with `_refusals` of what is done with it."""
        node = self._node(feature)
        if not isinstance(node, kinds):
            raise FeatureError(f"{feature}: is {type(node).__name__}, which has no such value")
        with _refusals(feature):
            yield node

    def is_known(self, feature: str) -> bool:
        """See `camera.Features.is_known`."""
        try:
            self.nodes.get_node(feature)
        except genapi.LogicalErrorException:  # its description does not name it
            return False
        return True

    def has(self, feature: str) -> bool:
        """See `camera.Features.has`."""
        if not self.is_known(feature):
            return False
        with _refusals(feature):
            return self.nodes.get_node(feature).get_access_mode() in _AVAILABLE

    def text(self, feature: str) -> str:
        """See `camera.Features.text`."""
        with self._of(feature, genapi.IEnumeration, genapi.IString) as node:
            return printable(str(node.get_value(*_FRESH)))

    def set_text(self, feature: str, value: str) -> None:
        """See `camera.Features.set_text`."""
        with self._of(feature, genapi.IEnumeration, genapi.IString) as node:
            node.set_value(value)

    def choices(self, feature: str) -> list[str]:
        """See `camera.Features.choices`."""
        with self._of(feature, genapi.IEnumeration) as node:
            return [
                printable(entry.symbolic) for entry in node.entries if entry.get_access_mode() in _AVAILABLE
            ]

    def whole(self, feature: str) -> int:
        """See `camera.Features.whole`."""
        with self._of(feature, genapi.IInteger, genapi.IEnumeration) as node:
            if isinstance(node, genapi.IEnumeration):
                return int(node.get_int_value(*_FRESH))
            return int(node.get_value(*_FRESH))

    def most(self, feature: str) -> int:
        """Highest value that a whole number may have now.

        Raises:
            FeatureError: there is none of that name, or the module refuses.
        """
        with self._of(feature, genapi.IInteger) as node:
            return int(node.max)

    def real(self, feature: str) -> float:
        """See `camera.Features.real`."""
        with self._of(feature, genapi.IFloat, genapi.IInteger) as node:
            return float(node.get_value(*_FRESH))

    def set_whole(self, feature: str, value: int) -> None:
        """See `camera.Features.set_whole`."""
        with self._of(feature, genapi.IInteger) as node:
            node.set_value(value)

    def is_real(self, feature: str) -> bool:
        """See `camera.Features.is_real`."""
        return isinstance(self._node(feature), genapi.IFloat)

    def set_real(self, feature: str, value: float) -> None:
        """See `camera.Features.set_real`."""
        with self._of(feature, genapi.IFloat, genapi.IInteger) as node:
            node.set_value(value if isinstance(node, genapi.IFloat) else round(value))

    def unit(self, feature: str) -> str:
        """See `camera.Features.unit`."""
        with self._of(feature, genapi.IFloat, genapi.IInteger) as node:
            return printable(str(node.unit))

    def flag(self, feature: str) -> bool:
        """See `camera.Features.flag`."""
        with self._of(feature, genapi.IBoolean) as node:
            return bool(node.get_value(*_FRESH))

    def set_flag(self, feature: str, *, value: bool) -> None:
        """See `camera.Features.set_flag`."""
        with self._of(feature, genapi.IBoolean) as node:
            node.set_value(value)

    def exposure_us(self) -> float:
        """See `camera.Features.exposure_us`."""
        return self.real(exposure_feature(self))

    def set_exposure_us(self, value_us: float) -> None:
        """See `camera.Features.set_exposure_us`."""
        self.set_real(exposure_feature(self), value_us)

    def execute(self, feature: str) -> None:
        """Carry out a command.

        Raises:
            FeatureError: there is none of that name, or the camera refuses.
        """
        with self._of(feature, genapi.ICommand) as node:
            node.execute()

    def chunk(self, feature: str) -> float | None:
        """Value of a chunk in the frame that is attached; None: it is not in it."""
        try:
            node = self.nodes.get_node(feature)
            if isinstance(node, genapi.IEnumeration):
                return int(node.get_int_value())
            if isinstance(node, genapi.IInteger):
                return int(node.value)
            return float(node.value) if isinstance(node, genapi.IFloat) else None
        except genapi.GenericException:
            return None  # what the frame does not say is not known of it


class AttachedChunks:
    """Where the chunks of a frame lie, as the reader of descriptions has to be told.

    Args:
        features: of the camera.
    """

    def __init__(self, features: NodeFeatures) -> None:
        self._adapter = genapi.ChunkAdapterGeneric(features.nodes)

    @contextmanager
    def of_list(self, data: bytes, listed: list[tuple[int, int, int]]) -> Iterator[None]:
        """The chunks of a frame, each by its number, place and length in `data`."""
        chunks = []
        for number, offset, length in listed:
            chunk = genapi.SingleChunkData()
            chunk.chunk_id, chunk.chunk_offset, chunk.chunk_length = number, offset, length
            chunks.append(chunk)
        with _refusals("its chunks cannot be read"):
            self._adapter.attach_buffer(data, chunks)
        try:
            yield
        finally:
            # The next frame may lack a chunk, and would be taken to have this one's.
            self._adapter.detach_buffer()

    def close(self) -> None:
        """Let go of the description."""
        # It is the adapter's own, and keeps both alive until the process ends unless it is called.
        self._adapter._finalizer()  # noqa: SLF001


def _description(library: ProducerLibrary, port: int) -> str:
    """A module's description: XML.

    Raises:
        CameraError: there is none that can be had here.
    """
    urls = list(_urls(library, port))
    for url in urls:
        data = _fetched(library, port, url)
        if data is not None:
            return _unpacked(data).decode(errors="replace")
    raise CameraError(
        f"its description cannot be had: it is at {', '.join(map(repr, urls)) or 'no place at all'}, "
        "expected one in the camera or in a file"
    )


def _urls(library: ProducerLibrary, port: int) -> Iterator[str]:
    try:
        count = library.count("GCGetNumPortURLs", port)
    except GentlError:
        yield library.name("GCGetPortURL", port)  # of before version 1.5 of the standard
        return
    for index in range(count):
        url = library.text("GCGetPortURLInfo", port, index, UrlInfo.URL)
        if url:
            yield url


def _fetched(library: ProducerLibrary, port: int, url: str) -> bytes | None:
    """What lies at a URL; None where it is none that is read here."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() == "local":
        try:
            address, size = (int(part, 16) for part in rest.partition("?")[0].split(";")[1:3])
        except ValueError as error:
            raise CameraError(f"its description lies at {url!r}, expected local:NAME;ADDRESS;SIZE") from error
        if not 0 < size <= _MOST_BYTES:
            raise CameraError(f"its description has {size} bytes, expected 1 to {_MOST_BYTES}")
        return _read(library, port, address, size)
    if scheme.lower() == "file":
        path = Path(unquote(urlsplit(url).path))
        try:
            with path.open("rb") as file:
                return file.read(_MOST_BYTES)
        except OSError as error:
            raise CameraError(f"its description {path} cannot be read: {error.strerror}") from error
    return None


def _unpacked(data: bytes) -> bytes:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data.rstrip(b"\0")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            first = archive.infolist()[0]
            if first.file_size > _MOST_BYTES:
                raise CameraError(
                    f"its description has {first.file_size} bytes, expected {_MOST_BYTES} at most"
                )
            return archive.read(first).rstrip(b"\0")
    except (zipfile.BadZipFile, zlib.error, IndexError, EOFError, RuntimeError, ValueError) as error:
        raise CameraError(f"its description is a ZIP file that cannot be read: {error}") from error
