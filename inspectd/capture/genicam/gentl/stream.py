"""The stream of one camera: buffers that a producer fills, and what it says of each."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Collection, Iterator
from ctypes import addressof, byref, c_size_t, c_void_p
from typing import Final, NamedTuple

import numpy as np

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import StreamedFrame
from inspectd.capture.genicam.chunks import facts_of
from inspectd.capture.genicam.gentl.chunks import GentlChunks
from inspectd.capture.genicam.gentl.library import GentlError, ProducerLibrary
from inspectd.capture.genicam.gentl.nodes import NodeFeatures
from inspectd.capture.genicam.gentl.producer import Closing
from inspectd.capture.genicam.gentl.standard import (
    DISCARD_ALL,
    ENDLESS,
    PIXELS_BIG_ENDIAN,
    START_DEFAULT,
    STOP_KILL,
    BufferInfo,
    EventType,
    Gc,
    PayloadType,
    PixelNamespace,
    StreamInfo,
)
from inspectd.capture.genicam.pixel_formats import format_of

logger = logging.getLogger("inspectd.capture")

_BUFFERS: Final = 16
_MOST_BUFFERS: Final = 1024
_ALIGNMENT: Final = 64
_MOST_ALIGNMENT: Final = 1 << 21
_NS: Final = 1_000_000_000
_IMAGE: Final = frozenset({PayloadType.IMAGE, PayloadType.CHUNK_DATA})
_NAMESPACES: Final = frozenset({PixelNamespace.UNKNOWN, PixelNamespace.GEV, PixelNamespace.PFNC_32BIT})
_NEVER_FREED: Final[list[ctypes.Array[ctypes.c_char]]] = []
"""Memory that a producer did not give back: it may still write there."""


class _NewBuffer(ctypes.Structure):
    _fields_ = (("buffer", c_void_p), ("user", c_void_p))


class _Announced(NamedTuple):
    """Memory of one buffer: from `address` on, inside `memory`."""

    memory: ctypes.Array[ctypes.c_char]
    address: int


class GentlStream:
    """Receives a camera's frames; the producer does so in threads of its own.

    Args:
        library: of the producer.
        closing: closes all of it again.
        device: handle of the camera, set as it is to be: what a frame takes must not change from now on.
        features: of the camera.
        chunk_facts: names of `chunks.CHUNKS` that its frames carry.

    Raises:
        CameraError: there is no stream, or no room for its frames.
    """

    def __init__(
        self,
        library: ProducerLibrary,
        closing: Closing,
        device: int,
        features: NodeFeatures,
        chunk_facts: Collection[str],
    ) -> None:
        self._library = library
        self._chunks = GentlChunks(library, features, chunk_facts)
        self._announced: dict[int, _Announced] = {}
        self._pixels = features.whole("PixelFormat"), features.whole("Width"), features.whole("Height")
        self._frequency_hz = 0
        self._said_unnumbered = False
        if not library.count("DevGetNumDataStreams", device):
            raise CameraError("has no stream of pictures")
        name = library.name("DevGetDataStreamID", device, 0)
        self._stream = library.handle("DevOpenDataStream", device, name.encode(errors="surrogateescape"))
        closing.later("DSClose", self._stream)
        closing.callback(self._give_back)
        self._event = library.handle("GCRegisterEvent", self._stream, EventType.NEW_BUFFER)
        closing.later("GCUnregisterEvent", self._stream, EventType.NEW_BUFFER)
        self.payload_bytes = self._of_stream(StreamInfo.PAYLOAD_SIZE, default=0)
        if not self._of_stream(StreamInfo.DEFINES_PAYLOADSIZE, default=0) or not self.payload_bytes:
            self.payload_bytes = features.whole("PayloadSize")
        self._announce()

    def set_frequency(self, frequency_hz: int) -> None:
        """Say how many ticks a second the camera's clock counts; 0: nobody knows."""
        self._frequency_hz = frequency_hz

    def _of_stream(self, command: StreamInfo, *, default: int) -> int:
        found = self._library.number("DSGetInfo", self._stream, command)
        return default if found is None else found

    def _announce(self) -> None:
        alignment = max(_ALIGNMENT, self._of_stream(StreamInfo.BUF_ALIGNMENT, default=1))
        count = max(_BUFFERS, self._of_stream(StreamInfo.BUF_ANNOUNCE_MIN, default=1))
        if alignment > _MOST_ALIGNMENT or count > _MOST_BUFFERS or self.payload_bytes < 1:
            raise CameraError(
                f"its producer wants {count} buffers of {self.payload_bytes} bytes, each at a multiple of "
                f"{alignment}"
            )
        for _ in range(count):
            memory = ctypes.create_string_buffer(self.payload_bytes + alignment)
            address = -(-addressof(memory) // alignment) * alignment
            buffer = self._library.handle("DSAnnounceBuffer", self._stream, address, self.payload_bytes, None)
            self._announced[buffer] = _Announced(memory, address)
            self._library.call("DSQueueBuffer", self._stream, buffer)

    def start(self) -> None:
        """Have the producer take frames.

        Raises:
            CameraError: it does not.
        """
        self._library.call("DSStartAcquisition", self._stream, START_DEFAULT, ENDLESS)

    def stop(self) -> None:
        """Have it take no more.

        Raises:
            CameraError: it goes on, or never began.
        """
        self._library.call("DSStopAcquisition", self._stream, STOP_KILL)

    def next_frame(self, timeout_ms: float) -> StreamedFrame | None:
        """The next frame, whole or not; None if none comes in time.

        Raises:
            CameraError: the producer gives none any more, or it is of a kind that has no picture.
        """
        buffer = self._next_buffer(0)
        waited = buffer is None
        if buffer is None:
            buffer = self._next_buffer(int(timeout_ms))
        if buffer is None:
            return None
        try:
            return self._read(buffer, time.monotonic_ns(), waited=waited)
        finally:
            # Of what it held there is a copy: the producer fills it again from here on.
            self._library.call("DSQueueBuffer", self._stream, buffer)

    def _next_buffer(self, timeout_ms: int) -> int | None:
        said, size = _NewBuffer(), c_size_t(ctypes.sizeof(_NewBuffer))
        try:
            self._library.call("EventGetData", self._event, byref(said), byref(size), timeout_ms)
        except GentlError as error:
            if error.code == Gc.TIMEOUT:
                return None
            raise CameraError(f"its producer gives no frames any more: {error}") from error
        if said.buffer not in self._announced:
            raise CameraError("its producer gave a buffer that is not one of this line's")
        return int(said.buffer)

    def _number(self, buffer: int, command: BufferInfo) -> int | None:
        return self._library.number("DSGetBufferInfo", self._stream, buffer, command)

    def _read(self, buffer: int, now_ns: int, *, waited: bool) -> StreamedFrame:
        number = self._number(buffer, BufferInfo.FRAMEID)
        frame_id, remark = number or 0, self._numbers_remark(number)
        device_ns = self._device_ns(buffer)
        filled = self._number(buffer, BufferInfo.SIZE_FILLED)
        code, width, height = self._pixels
        width = self._number(buffer, BufferInfo.WIDTH) or width
        height = self._number(buffer, BufferInfo.HEIGHT) or height
        offset = self._number(buffer, BufferInfo.IMAGEOFFSET) or 0
        padding = self._number(buffer, BufferInfo.XPADDING) or 0
        code = self._number(buffer, BufferInfo.PIXELFORMAT) or code
        problem = next(self._problems(buffer, filled, height), "")
        if not problem:
            self._refuse_other_kinds(buffer, code)
            pixel_format = format_of("another format than it said", code)
            needed = offset + height * (width * pixel_format.bytes_a_pixel + padding)
            if filled is not None and filled < needed:
                problem = f"{filled} of {needed} bytes came"
            elif needed > self.payload_bytes:
                problem = f"its pixels take {needed} bytes, and a buffer has {self.payload_bytes}"
        if problem:
            # Of a broken one nothing else counts: what did not come is what the buffer held before.
            return StreamedFrame(frame_id, device_ns, now_ns, waited, problem, remark)
        length = self.payload_bytes if filled is None else filled
        data = ctypes.string_at(self._announced[buffer].address, length)
        return StreamedFrame(
            frame_id,
            device_ns,
            now_ns,
            waited,
            remark=remark,
            data=np.frombuffer(data, np.uint8)[offset:],
            pixel_code=code,
            width=width,
            height=height,
            padding_bytes=padding,
            facts=facts_of(self._chunks.read(self._stream, buffer, data), frame_id, device_ns),
        )

    def _numbers_remark(self, number: int | None) -> str:
        if number is not None or self._said_unnumbered:
            return ""
        self._said_unnumbered = True
        return "its producer gives frames no numbers: those that are lost on their way are not noticed"

    def _device_ns(self, buffer: int) -> int:
        """The camera's stamp, nanoseconds; 0: it gives none, or nobody knows how fast its clock counts."""
        stamp_ns = self._number(buffer, BufferInfo.TIMESTAMP_NS)
        if stamp_ns is not None:
            return stamp_ns
        ticks = self._number(buffer, BufferInfo.TIMESTAMP)
        return ticks * _NS // self._frequency_hz if ticks and self._frequency_hz else 0

    def _problems(self, buffer: int, filled: int | None, height: int) -> Iterator[str]:
        """Why a frame is not whole, by what the producer says of it."""
        if self._number(buffer, BufferInfo.IS_INCOMPLETE):
            yield f"its producer calls it incomplete, {filled or 0} bytes came"
        if self._number(buffer, BufferInfo.DATA_LARGER_THAN_BUFFER):
            yield "the camera sent more than it said"
        if self._number(buffer, BufferInfo.NEW_DATA) == 0:
            yield "its producer gave a buffer without new data"
        if filled is not None and filled > self.payload_bytes:
            yield f"{filled} bytes came, and a buffer has {self.payload_bytes}"
        sent = self._number(buffer, BufferInfo.DATA_SIZE)
        if filled is not None and sent is not None and filled < sent:
            yield f"{filled} of {sent} bytes came"
        rows = self._number(buffer, BufferInfo.DELIVERED_IMAGEHEIGHT)
        if rows is not None and 0 < rows < height:
            yield f"{rows} of {height} rows came"

    def _refuse_other_kinds(self, buffer: int, code: int) -> None:
        payload = self._number(buffer, BufferInfo.PAYLOADTYPE)
        is_image = payload in _IMAGE
        if not payload:  # it does not say
            is_image = self._number(buffer, BufferInfo.IMAGEPRESENT) != 0
        if not is_image:
            raise CameraError(f"sends payload of type {payload}, expected pictures; set it to send images")
        namespace = self._number(buffer, BufferInfo.PIXELFORMAT_NAMESPACE) or PixelNamespace.UNKNOWN
        if namespace not in _NAMESPACES:
            raise CameraError(
                f"sends pixels as number 0x{code:X} of namespace {namespace}, expected one of PFNC; is its "
                "producer up to date?"
            )
        if self._number(buffer, BufferInfo.PIXEL_ENDIANNESS) == PIXELS_BIG_ENDIAN:
            raise CameraError("sends pixels with their higher byte first, expected the lower one first")

    def let_go_of_chunks(self) -> None:
        """Close what reads chunks."""
        self._chunks.close()

    def _give_back(self) -> None:
        """Have the producer forget its buffers; memory that it does not give back is never used again."""
        try:
            self._library.call("DSFlushQueue", self._stream, DISCARD_ALL)
        except GentlError as error:
            logger.warning("GenTL producer: %s", error)
        for buffer, announced in self._announced.items():
            try:
                self._library.call(
                    "DSRevokeBuffer", self._stream, buffer, byref(c_void_p()), byref(c_void_p())
                )
            except GentlError as error:
                logger.warning("GenTL producer: a buffer is not given back: %s", error)
                _NEVER_FREED.append(announced.memory)
        self._announced.clear()
