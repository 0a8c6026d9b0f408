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
from inspectd.capture.genicam.gentl.nodes import NodeFeatures
from inspectd.capture.genicam.gentl.producer import Closing
from inspectd.capture.genicam.gentl.producer_library import GentlError, ProducerLibrary
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
_MOST_PICTURE_BYTES: Final = 1 << 30
_LEAST_BOUND_BYTES: Final = 1 << 26
"""Some ask for far more than a picture takes. Beyond this, and twice the picture, it is a wrong number."""
_NS: Final = 1_000_000_000
_IMAGE: Final = frozenset({PayloadType.UNKNOWN, PayloadType.IMAGE, PayloadType.CHUNK_DATA})
_PIXELS: Final = (BufferInfo.PIXELFORMAT, BufferInfo.WIDTH, BufferInfo.HEIGHT)
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
        code, width, height = self._pixels
        picture = height * width * format_of("another format than it said", code).bytes_a_pixel
        most = max(2 * min(picture, _MOST_PICTURE_BYTES), _LEAST_BOUND_BYTES)
        if (
            alignment > _MOST_ALIGNMENT
            or count > _MOST_BUFFERS
            or not 0 < picture <= self.payload_bytes <= most
        ):
            raise CameraError(
                f"wants {count} buffers of {self.payload_bytes} bytes, each at a multiple of {alignment}, "
                f"for pictures of {width}x{height} pixels, which take {picture}; expected {most} at most"
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
        if said.buffer not in self._announced:  # another camera's, or none
            raise CameraError("its producer gave a buffer that is not one of this line's")
        return int(said.buffer)

    def _number(self, buffer: int, command: BufferInfo) -> int | None:
        found = self._library.number("DSGetBufferInfo", self._stream, buffer, command)
        if found is not None and found < 0:
            raise CameraError(f"its producer says {found} for BUFFER_INFO_{command.name} of a frame")
        return found

    def _read(self, buffer: int, now_ns: int, *, waited: bool) -> StreamedFrame:
        number, device_ns = told = self._number_and_stamp(buffer)
        frame_id, remark = number or 0, self._numbers_remark(number)
        filled = self._number(buffer, BufferInfo.SIZE_FILLED)
        is_incomplete = self._number(buffer, BufferInfo.IS_INCOMPLETE)
        if filled is None or is_incomplete is None:
            raise CameraError("its producer does not say whether a frame is whole; is it up to date?")
        code, width, height = self._pixels
        offset = self._number(buffer, BufferInfo.IMAGEOFFSET) or 0
        padding = self._number(buffer, BufferInfo.XPADDING) or 0
        problem = next(self._problems(buffer, filled, height, is_incomplete=bool(is_incomplete)), "")
        data = b""
        if not problem:
            self._refuse_other_kinds(buffer)
            pixel_format = format_of("another format than it said", code)
            needed = offset + height * (width * pixel_format.bytes_a_pixel + padding)
            if filled < needed:
                problem = f"{filled} of {needed} bytes came"
        if not problem:
            data = ctypes.string_at(self._announced[buffer].address, filled)
            values = self._chunks.read(self._stream, buffer, data)
            if self._number_and_stamp(buffer) != told:
                problem = "its producer wrote another frame over it while it was read"
        if problem:
            # Of a broken one nothing else counts: what did not come is what the buffer held before.
            return StreamedFrame(frame_id, device_ns, now_ns, waited, problem, remark)
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
            facts=facts_of(values, frame_id, device_ns),
        )

    def _number_and_stamp(self, buffer: int) -> tuple[int | None, int]:
        return self._number(buffer, BufferInfo.FRAMEID), self._device_ns(buffer)

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

    def _problems(self, buffer: int, filled: int, height: int, *, is_incomplete: bool) -> Iterator[str]:
        """Why a frame is not whole, by what the producer says of it."""
        if is_incomplete:
            yield f"its producer calls it incomplete, {filled} bytes came"
        if self._number(buffer, BufferInfo.DATA_LARGER_THAN_BUFFER):
            yield "the camera sent more than it said"
        if self._number(buffer, BufferInfo.NEW_DATA) == 0:
            yield "its producer gave a buffer without new data"
        if filled > self.payload_bytes:
            yield f"{filled} bytes came, and a buffer has {self.payload_bytes}"
        sent = self._number(buffer, BufferInfo.DATA_SIZE)
        if sent is not None and filled < sent:
            yield f"{filled} of {sent} bytes came"
        rows = self._number(buffer, BufferInfo.DELIVERED_IMAGEHEIGHT)
        if rows is not None and 0 < rows < height:
            yield f"{rows} of {height} rows came"

    def _refuse_other_kinds(self, buffer: int) -> None:
        """Refuse what is no picture, or another one than the camera said it sends: see `TLParamsLocked`."""
        payload = self._number(buffer, BufferInfo.PAYLOADTYPE) or PayloadType.UNKNOWN
        if payload not in _IMAGE or self._number(buffer, BufferInfo.IMAGEPRESENT) == 0:
            raise CameraError(f"sends payload of type {payload}, expected pictures; set it to send images")
        code, width, height = said = self._pixels
        came = tuple(
            self._number(buffer, command) or expected for command, expected in zip(_PIXELS, said, strict=True)
        )
        if came != said:
            raise CameraError(
                f"sent a frame of {came[1]}x{came[2]} pixels of format 0x{came[0]:X}, and says that it sends "
                f"{width}x{height} of 0x{code:X}"
            )
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
                self._library.spent = f"a buffer is not given back: {error}"
                logger.warning("GenTL producer: %s", self._library.spent)
                _NEVER_FREED.append(announced.memory)
        self._announced.clear()
