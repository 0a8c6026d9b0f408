"""Streams that are joined within a group of pictures: what can be decoded begins with the next key frame."""

from __future__ import annotations

import contextlib
import io
import itertools
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import av
import pytest
from support.pictures import noise

from inspectd.capture.driver import CameraError
from inspectd.capture.stream import StreamDriver
from inspectd.config import OpenCvCamera

FPS = 25


def group_of_pictures(seconds: float) -> list[bytes]:
    """MPEG-TS of one group and what comes after it, the bytes of each picture by themselves."""
    file, ends = io.BytesIO(), [0]
    with av.open(file, "w", format="mpegts", options={"mpegts_flags": "resend_headers"}) as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        keys = f"keyint={int(seconds * FPS)}:scenecut=0:repeat-headers=1"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": keys}
        for number in range(int(seconds * FPS) + 2 * FPS):
            picture = av.VideoFrame.from_ndarray(noise(number, 48, 64), "bgr24")
            picture.pts = number
            out.mux(stream.encode(picture))
            ends.append(file.tell())
        out.mux(stream.encode(None))
    data = file.getvalue()
    return [data[begin:end] for begin, end in itertools.pairwise(ends)]


class _JoinedLate(BaseHTTPRequestHandler):
    pictures: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        with contextlib.suppress(OSError):
            for picture in self.pictures[5:]:
                self.wfile.write(picture)
                time.sleep(1 / FPS)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def camera(group_seconds: float, stall_timeout_ms: float) -> Iterator[StreamDriver]:
    """A driver whose stream has just been opened between two key frames."""
    _JoinedLate.pictures = group_of_pictures(group_seconds)
    with ThreadingHTTPServer(("127.0.0.1", 0), _JoinedLate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{server.server_port}/video"
        driver = StreamDriver(
            OpenCvCamera(name="cam", recipe="r", source=source, stall_timeout_ms=stall_timeout_ms)
        )
        driver.open(lambda: None)
        try:
            yield driver
        finally:
            driver.close()
            server.shutdown()


def test_until_a_key_frame_the_loop_goes_on_turning_and_the_camera_comes_up_with_it() -> None:
    with camera(2.0, stall_timeout_ms=1500) as driver:
        polled = [driver.poll()]
        while not polled[-1]:
            polled.append(driver.poll())
        frame = driver.read()
    assert len(polled) > 2
    assert frame is not None
    assert frame.pixels.shape == (48, 64, 3)


def test_a_stream_without_key_frames_is_down_and_says_what_to_set() -> None:
    with camera(30.0, stall_timeout_ms=400) as driver, pytest.raises(CameraError, match="set a key frame"):
        driver.read()
