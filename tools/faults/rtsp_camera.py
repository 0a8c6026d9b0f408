"""A live camera that is watched over RTSP."""

from __future__ import annotations

import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from faults.live import FPS, LiveCamera
from faults.parts import SIDE
from support import rtsp_camera
from support.ports import free_port

_RELAY: Final = Path(rtsp_camera.__file__).with_name("rtsp_relay.py")
_PYTHON: Final = "/usr/bin/python3"
"""The system's, which has GStreamer's bindings."""

_PICTURES_A_GROUP: Final = 8
# One slice a picture, as docs/cameras.md asks for.
_ENCODER: Final = {"tune": "zerolatency", "preset": "ultrafast", "crf": "16", "x264-params": "threads=1"}


def lacks_rtsp() -> str | None:
    """Reason why no RTSP server runs here; None when one does."""
    try:
        done = subprocess.run(
            [_PYTHON, "-c", 'import gi; gi.require_version("GstRtspServer", "1.0")'],
            capture_output=True,
            check=False,
        )
    except OSError as error:
        return f"{_PYTHON}: {error.strerror}"
    return None if done.returncode == 0 else "gir1.2-gst-rtsp-server-1.0 or python3-gi is not installed"


class RtspLiveCamera(LiveCamera):
    """Its pictures go to an RTSP server, with the time of their exposure.

    Args:
        seed: of the noise.
        port: that it serves; None: any.
    """

    LATER_MS = 60  # through a server and a decoder
    SETTLE_SECONDS = 1.5

    def __init__(self, seed: int, port: int | None = None) -> None:
        super().__init__(seed)
        port = port or free_port()
        self.url = f"rtsp://127.0.0.1:{port}/cam"
        self._server = subprocess.Popen(
            [_PYTHON, _RELAY, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n", "the RTSP server did not start"
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width = self._encoder.height = SIDE
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.framerate = Fraction(FPS)
        self._encoder.time_base = Fraction(1, 1_000_000)
        self._encoder.gop_size = _PICTURES_A_GROUP
        self._encoder.max_b_frames = 0
        self._encoder.options = _ENCODER
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.thread_count = 1
        self._began_ns = time.monotonic_ns()

    def __exit__(self, *of: object) -> None:
        super().__exit__(*of)
        self._server.kill()
        self._server.communicate()

    def _encode(self, seen: np.ndarray, at_ns: int) -> tuple[bytes, np.ndarray]:
        frame = av.VideoFrame.from_ndarray(seen, format="bgr24")
        frame.pts = (at_ns - self._began_ns) // 1000
        frame.time_base = Fraction(1, 1_000_000)
        (packet,) = self._encoder.encode(frame)
        (whole,) = self._decoder.decode(av.Packet(bytes(packet)))
        encoded = bytes(packet)
        return at_ns.to_bytes(8, "big") + len(encoded).to_bytes(4, "big") + encoded, whole.to_ndarray(
            format="bgr24"
        )

    def _send(self, due: float, encoded: bytes) -> None:
        assert self._server.stdin is not None
        try:
            self._server.stdin.write(encoded)
            self._server.stdin.flush()
        except BrokenPipeError:  # it was ended, as the camera is
            self._off.set()
