"""A live camera that sends H.264 in a transport stream over UDP, and a network that loses some of it."""

from __future__ import annotations

import random
import socket
import time
from fractions import Fraction
from typing import Final

import av
import numpy as np
from faults.live import FPS, LiveCamera
from faults.parts import SIDE

_TICKS_A_SECOND: Final = 90_000
_DATAGRAM_BYTES: Final = 1316
_PICTURES_A_GROUP: Final = 8
_ENCODER: Final = {"tune": "zerolatency", "preset": "ultrafast", "crf": "16"}
_MUXER: Final = {"flush_packets": "1", "pat_period": "0.2"}


class TsCamera(LiveCamera):
    """Sends to one UDP port of the loopback interface, whoever listens there.

    Args:
        seed: of the noise and of what is lost.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.loss = 0.0
        """Share of the datagrams that are lost."""
        self.lost = self.sent = 0
        self._chance = random.Random(seed)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to = ("127.0.0.1", _free_udp_port())
        self.url = f"udp://{self._to[0]}:{self._to[1]}"
        self._began_ns = time.monotonic_ns()
        self._stream = _Written()
        self._muxer = av.open(self._stream, "w", format="mpegts", options=_MUXER)
        self._encoder = self._muxer.add_stream("libx264", rate=FPS, options=_ENCODER)
        self._encoder.width = self._encoder.height = SIDE
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.codec_context.time_base = Fraction(1, _TICKS_A_SECOND)
        self._encoder.codec_context.gop_size = _PICTURES_A_GROUP
        self._encoder.codec_context.max_b_frames = 0
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.thread_count = 1

    def __exit__(self, *of: object) -> None:
        super().__exit__(*of)
        self._muxer.close()
        self._socket.close()

    def _encode(self, seen: np.ndarray, at_ns: int) -> tuple[bytes, np.ndarray]:
        frame = av.VideoFrame.from_ndarray(seen, format="bgr24")
        frame.pts = (at_ns - self._began_ns) * _TICKS_A_SECOND // 1_000_000_000
        frame.time_base = Fraction(1, _TICKS_A_SECOND)
        (packet,) = self._encoder.encode(frame)
        (whole,) = self._decoder.decode(av.Packet(bytes(packet)))
        self._muxer.mux(packet)
        return self._stream.take(), whole.to_ndarray(format="bgr24")

    def _send(self, due: float, encoded: bytes) -> None:
        for begin in range(0, len(encoded), _DATAGRAM_BYTES):
            self.sent += 1
            if self._chance.random() < self.loss:
                self.lost += 1
            else:
                self._socket.sendto(encoded[begin : begin + _DATAGRAM_BYTES], self._to)


class _Written:
    """What the muxer writes to."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep it."""
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
