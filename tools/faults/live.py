"""A live camera whose picture at each moment is the part then in front of it: motion JPEG over HTTP."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

import cv2
import numpy as np
from faults import line
from faults.parts import Picture

FPS: Final = 40
PROMPT_SECONDS: Final = 0.015
"""A frame that could only leave so long after it was due is not sent: a camera keeps its word."""

_QUALITY: Final = 95
_NOISE: Final = 2
_NOISES: Final = 61
_SHIFT: Final = 97
_LAST_BUFFERS: Final = 4
_END_MARK: Final = b"\xff\xd9"

Way = Callable[[bytes], bytes]
"""A change that each JPEG undergoes between the sensor and the network."""


class LiveCamera:
    """Takes pictures at a rate of its own and sends them, `latency_seconds` after their exposure.

    Every picture has noise of its own, as a sensor's has, so that its SHA-256 identifies when it was taken.

    Args:
        seed: of the noise.
        latency_seconds: from exposure to the first byte on the network.
    """

    LATER_MS = 0
    """Longest delay of its pictures against a motion JPEG camera's."""

    SETTLE_SECONDS = 0.0
    """Time after it is connected in which the age of its pictures cannot be known."""

    url: str

    def __init__(self, seed: int, latency_seconds: float = 0.0) -> None:
        self.exposed_ns: dict[str, int] = {}
        """When each picture was taken (monotonic), by the SHA-256 of what a decoder makes of it."""
        self.latency_seconds = latency_seconds
        shape = (_NOISES, 128 * 128 * 3)
        self._noises = np.random.default_rng(seed).integers(-_NOISE, _NOISE + 1, shape, np.int8)
        self._scene: tuple[Picture, set[str]] | None = None
        self._off = threading.Event()
        self._sensor = threading.Thread(target=self._expose, name="sensor", daemon=True)

    def __enter__(self) -> Self:
        self._sensor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._off.set()
        self._sensor.join()

    def table(self, name: str, more: str) -> str:
        """Its table in a configuration, with more settings."""
        return line.live_camera(name, self.url, more=more)

    def show(self, picture: Picture) -> AbstractSet[str]:
        """Put a part in front of it; the SHA-256 of each picture taken of it, which grows meanwhile."""
        taken: set[str] = set()
        self._scene = (picture, taken)
        return taken

    def _expose(self) -> None:
        due = time.monotonic()
        while not self._off.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / FPS, time.monotonic())
            if self._scene is not None:
                self._expose_one(*self._scene)

    def _expose_one(self, picture: Picture, taken: set[str]) -> None:
        at_ns = time.monotonic_ns()
        # One of few noises, read from another place each time: cheap, and no two alike.
        turn, which = divmod(len(self.exposed_ns), _NOISES)
        noise = np.roll(self._noises[which], turn * _SHIFT)
        seen = np.clip(picture.pixels + noise.reshape(picture.pixels.shape), 0, 255).astype(np.uint8)
        encoded, pixels = self._encode(seen, at_ns)
        sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
        self.exposed_ns[sha256] = at_ns
        taken.add(sha256)
        self._send(at_ns / 1e9 + self.latency_seconds, encoded)

    def _encode(self, seen: np.ndarray, at_ns: int) -> tuple[bytes, np.ndarray]:
        """The bytes for the network, and the pixels that a decoder makes of them."""
        raise NotImplementedError

    def _send(self, due: float, encoded: bytes) -> None:
        """Let it leave when it is due (monotonic, seconds)."""
        raise NotImplementedError


class MjpegCamera(LiveCamera):
    """Motion JPEG over HTTP, to whoever is connected.

    Args:
        way: what happens to a picture on its way; it may see, change and repeat them.
        port: that it serves; 0: any.
    """

    def __init__(
        self, seed: int, latency_seconds: float = 0.0, way: Way = lambda jpeg: jpeg, port: int = 0
    ) -> None:
        super().__init__(seed, latency_seconds)
        self._way = way
        self._clients: list[_Client] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self._server.daemon_threads = True
        self._server.camera = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}/video.mjpg"
        serve = {"poll_interval": 0.05}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs=serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return super().__enter__()

    def __exit__(self, *of: object) -> None:
        super().__exit__(*of)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve(self, write: Callable[[bytes], Any]) -> None:
        """Send pictures until the client hangs up or the camera is switched off."""
        client = _Client(1 + round((self.latency_seconds + PROMPT_SECONDS) * FPS))
        self._clients.append(client)
        try:
            while not self._off.is_set():
                jpeg = client.take()
                if jpeg is not None:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    write(head.encode() + jpeg + b"\r\n")
        except ConnectionError:
            pass  # the reader hung up, as it may
        finally:
            self._clients.remove(client)

    def _encode(self, seen: np.ndarray, at_ns: int) -> tuple[bytes, np.ndarray]:
        jpeg = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        return jpeg, decoded(jpeg)

    def _send(self, due: float, encoded: bytes) -> None:
        sent = self._way(encoded)
        for client in self._clients[:]:
            client.give(due, sent)


def decoded(jpeg: bytes) -> np.ndarray:
    """The picture as `(H, W, 3) uint8 BGR`."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


class Cutting:
    """Cuts pictures at 10 to 95 % of their bytes, and completes what is left as a camera or a network may.

    It ends there, or with the mark of an end, or with zeros and that mark, or it runs into the one before.
    """

    def __init__(self, chance: random.Random, share: float) -> None:
        self.cut = 0
        self.share = share
        """Of the pictures that are cut."""
        self._random = chance
        self._before = b""

    def __call__(self, jpeg: bytes) -> bytes:
        before, self._before = self._before, jpeg
        if self._random.random() >= self.share:
            return jpeg
        self.cut += 1
        # More of them early, where a defect is lost with the rest.
        at = int(len(jpeg) * (0.1 + 0.85 * self._random.random() ** 2))
        zeros = bytes(len(jpeg) - at - len(_END_MARK))
        return jpeg[:at] + self._random.choice((b"", _END_MARK, zeros + _END_MARK, before))


class Repeating:
    """While it is on, the last buffers are handed out again and again: four of them in turn, or one."""

    def __init__(self) -> None:
        self.repeated = 0
        self._last: deque[bytes] = deque(maxlen=_LAST_BUFFERS)
        self._buffers: list[bytes] = []

    def begin(self, *, frozen: bool) -> None:
        """Hand out what was taken before; only the last one when frozen."""
        self._buffers = list(self._last)[-1:] if frozen else list(self._last)

    def end(self) -> None:
        """Hand out each picture once."""
        self._buffers = []

    def __call__(self, jpeg: bytes) -> bytes:
        if not self._buffers:
            self._last.append(jpeg)
            return jpeg
        self.repeated += 1
        return self._buffers[self.repeated % len(self._buffers)]


class _Client:
    """Pictures on their way to one reader."""

    def __init__(self, most: int) -> None:
        self._waiting: deque[tuple[float, bytes]] = deque(maxlen=most)
        self._something = threading.Condition()

    def give(self, due: float, jpeg: bytes) -> None:
        """Send a picture at a moment (monotonic, seconds)."""
        with self._something:
            self._waiting.append((due, jpeg))
            self._something.notify()

    def take(self) -> bytes | None:
        """The next picture, when it is due; None when there is none, or it could not be sent promptly."""
        with self._something:
            if not self._waiting and not self._something.wait(0.1):
                return None
            due, jpeg = self._waiting.popleft()
        time.sleep(max(0.0, due - time.monotonic()))
        return jpeg if time.monotonic() - due < PROMPT_SECONDS else None


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        self.server.camera.serve(self.wfile.write)

    def log_message(self, *_: object) -> None:
        """Requests to the camera are not logged."""
