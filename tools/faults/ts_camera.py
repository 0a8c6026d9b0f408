"""A live camera that sends H.264 in a transport stream, on a way of which a part loses packets."""

from __future__ import annotations

import random
import socket
import threading
import time
from fractions import Fraction
from typing import Final, Self

import av
import numpy as np
from faults.live import FPS, LiveCamera
from faults.parts import SIDE

_TICKS_A_SECOND: Final = 90_000
_PACKET_BYTES: Final = 7 * 188
"""As in a datagram: seven of a transport stream's."""

_LOOK_SECONDS: Final = 0.1
_SEND_SECONDS: Final = 1.0
_PICTURES_A_GROUP: Final = 8
_ENCODER: Final = {"tune": "zerolatency", "preset": "ultrafast", "crf": "16"}
_MUXER: Final = {"flush_packets": "1", "pat_period": "0.2"}


class TsCamera(LiveCamera):
    """Sends over TCP, as a relay does behind a network that loses packets.

    Args:
        seed: of the noise and of what is lost.
    """

    LATER_MS = 60  # a picture of a transport stream is complete when the next one begins

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.loss = 0.0
        """Share of the packets that are lost."""
        self.lost = self.sent = 0
        self._chance = random.Random(seed)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(_LOOK_SECONDS)
        self._clients: list[socket.socket] = []
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, name="camera", daemon=True)
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

    def __enter__(self) -> Self:
        self._thread.start()
        return super().__enter__()

    def __exit__(self, *of: object) -> None:
        super().__exit__(*of)
        self._thread.join()
        self._muxer.close()
        for connection in [self._server, *self._clients]:
            connection.close()

    def _encode(self, seen: np.ndarray, at_ns: int) -> tuple[bytes, np.ndarray]:
        frame = av.VideoFrame.from_ndarray(seen, format="bgr24")
        frame.pts = (at_ns - self._began_ns) * _TICKS_A_SECOND // 1_000_000_000
        frame.time_base = Fraction(1, _TICKS_A_SECOND)
        (packet,) = self._encoder.encode(frame)
        (whole,) = self._decoder.decode(av.Packet(bytes(packet)))
        self._muxer.mux(packet)
        return self._stream.take(), whole.to_ndarray(format="bgr24")

    def _send(self, due: float, encoded: bytes) -> None:
        packets = [encoded[begin : begin + _PACKET_BYTES] for begin in range(0, len(encoded), _PACKET_BYTES)]
        kept = [packet for packet in packets if self._chance.random() >= self.loss]
        self.sent += len(packets)
        self.lost += len(packets) - len(kept)
        for client in self._clients[:]:
            try:
                client.sendall(b"".join(kept))
            except OSError:  # it hung up, as it may, or does not read
                self._clients.remove(client)
                client.close()

    def _accept(self) -> None:
        while not self._off.is_set():
            try:
                client = self._server.accept()[0]
            except TimeoutError:
                continue
            client.settimeout(_SEND_SECONDS)
            self._clients.append(client)


class _Written:
    """The file that the muxer writes to."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep it."""
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Bytes written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
