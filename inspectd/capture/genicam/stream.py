"""The stream of one camera: buffers that Aravis fills, and what it says of each."""

from __future__ import annotations

import ctypes
import time
from ctypes import POINTER, byref, c_int, c_size_t, c_uint64, c_void_p
from typing import Final

import numpy as np

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.aravis import AravisCamera, library
from inspectd.capture.genicam.aravis_chunks import ChunkReader
from inspectd.capture.genicam.camera import StreamedFrame
from inspectd.capture.genicam.chunks import facts_of

_BUFFERS: Final = 16
_WHOLE: Final = 0  # ARV_BUFFER_STATUS_SUCCESS
_STATUS: Final = {2: "not whole in time", 3: "packets are missing", 4: "packets of another frame in it",
                  5: "larger than the camera said", 7: "given up"}  # fmt: skip
_IMAGE_PAYLOADS: Final = frozenset({1, 4, 5})
"""Image, and image with chunks in GigE Vision's two ways."""
_FIXED, _RESEND_ALWAYS = 0, 1
_LEAST_SOCKET_BYTES: Final = 1 << 20
_FRAME_RETENTION_US: Final = 100_000
"""A frame of which a packet is missing is waited for so long, with the packet asked for again."""


class AravisStream:
    """Receives a camera's frames; Aravis does so in a thread of its own.

    Args:
        camera: set as it is to be: what a frame takes must not change while there is a stream.
        chunks: reads what comes with each frame; closed with the stream.
    """

    def __init__(self, camera: AravisCamera, chunks: ChunkReader) -> None:
        self._library = library()
        self._chunks = chunks
        payload_bytes = camera.payload_bytes()
        # No callback: Aravis' thread never calls into this interpreter.
        made = camera.do("create_stream", (c_void_p, None), (c_void_p, None), result=c_void_p)
        if made is None:
            raise CameraError("no stream can be made; is the camera in use?")
        self._stream: int = made
        self._missing_packets = 0
        self._library.set_numbers(
            made,
            socket_buffer=_FIXED,
            socket_buffer_size=max(_LEAST_SOCKET_BYTES, 2 * payload_bytes),
            packet_resend=_RESEND_ALWAYS,
            frame_retention=_FRAME_RETENTION_US,
        )
        new_buffer = self._library.plain("arv_buffer_new", c_void_p, c_size_t, c_void_p)
        for _ in range(_BUFFERS):
            self._push(new_buffer(payload_bytes, None))

    def next_frame(self, timeout_ms: float) -> StreamedFrame | None:
        """The next frame, whole or not; None if none comes in time.

        Raises:
            CameraError: it is of a kind that has no picture.
        """
        buffer = self._library.plain("arv_stream_try_pop_buffer", c_void_p, c_void_p)(self._stream)
        waited = buffer is None
        if buffer is None:
            buffer = self._library.plain("arv_stream_timeout_pop_buffer", c_void_p, c_void_p, c_uint64)(
                self._stream, int(timeout_ms * 1000)
            )
        if buffer is None:
            return None
        try:
            return self._read(buffer, time.monotonic_ns(), waited=waited)
        finally:
            self._push(buffer)

    def close(self) -> None:
        """End the thread, and free stream, buffers and what reads chunks."""
        self._library.unref(self._stream)
        self._chunks.close()

    def _push(self, buffer: int) -> None:
        # Aravis writes number and stamp when a frame's first packet comes. Where that is lost, they would be
        # those of the frame that the buffer held before.
        for name in ("frame_id", "timestamp"):
            self._library.plain(f"arv_buffer_set_{name}", None, c_void_p, c_uint64)(buffer, 0)
        self._library.plain("arv_stream_push_buffer", None, c_void_p, c_void_p)(self._stream, buffer)

    def _number(self, name: str, buffer: int, kind: type[ctypes._SimpleCData[int]] = c_int) -> int:
        return int(self._library.plain(f"arv_buffer_get_{name}", kind, c_void_p)(buffer))

    def _read(self, buffer: int, now_ns: int, *, waited: bool) -> StreamedFrame:
        status = self._number("status", buffer)
        frame_id = self._number("frame_id", buffer, c_uint64)
        # A stamp that was lost is lost with the number: both stand in the first packet.
        device_ns = self._number("timestamp", buffer, c_uint64) if frame_id else 0
        missing = self._missing_since()
        if status != _WHOLE:
            # Of a broken one nothing else counts: what did not come is what the buffer held before.
            problem = _STATUS.get(status, f"status {status}")
            return StreamedFrame(
                frame_id, device_ns, now_ns, waited, f"{problem}, up to {missing} packets are missing"
            )
        payload = self._number("payload_type", buffer)
        if payload not in _IMAGE_PAYLOADS:
            raise CameraError(f"sends payload of type {payload}, expected pictures; set it to send images")
        size, x_padding, y_padding = c_size_t(), c_int(), c_int()
        data = self._library.plain("arv_buffer_get_image_data", c_void_p, c_void_p, POINTER(c_size_t))(
            buffer, byref(size)
        )
        self._library.plain("arv_buffer_get_image_padding", None, c_void_p, POINTER(c_int), POINTER(c_int))(
            buffer, byref(x_padding), byref(y_padding)
        )
        return StreamedFrame(
            frame_id,
            device_ns,
            now_ns,
            waited,
            # A copy: the stream fills this memory again as soon as the buffer is pushed.
            data=np.frombuffer(ctypes.string_at(data, size.value), np.uint8),
            pixel_code=self._number("image_pixel_format", buffer, ctypes.c_uint32),
            width=self._number("image_width", buffer),
            height=self._number("image_height", buffer),
            padding_bytes=x_padding.value,
            facts=facts_of(self._chunks.read(buffer), frame_id, device_ns),
        )

    def _missing_since(self) -> int:
        """Packets that Aravis counted missing since the last call: of a frame, all from the first one on."""
        resent, missing = c_uint64(), c_uint64()
        self._library.plain(
            "arv_gv_stream_get_statistics", None, c_void_p, POINTER(c_uint64), POINTER(c_uint64)
        )(self._stream, byref(resent), byref(missing))
        since, self._missing_packets = missing.value - self._missing_packets, missing.value
        return since
