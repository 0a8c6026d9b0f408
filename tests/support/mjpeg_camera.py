"""A camera that serves motion JPEG over HTTP, as many cheap ones do."""

import base64
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
from support.pictures import noise

PERIOD_SECONDS = 0.1
_DAY_MS = 86_400_000


def stamped(seed: int) -> np.ndarray:
    """Noise with the time it was made, as `stamp_of` reads it."""
    picture = noise(seed, 64, 512)
    now_ms = time.monotonic_ns() // 1_000_000 % _DAY_MS
    for bit in range(27):
        picture[:16, 16 * bit : 16 * bit + 16] = 255 if now_ms >> bit & 1 else 0
    return picture


def stamp_of(pixels: np.ndarray) -> float:
    """When a `stamped` picture was made, in ms of the monotonic clock within a day."""
    return sum(1 << bit for bit in range(27) if pixels[8, 16 * bit + 8].mean() > 128)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        camera = self.server.camera
        if camera.login and not camera.lets_in(self.headers.get("Authorization", ""), self.command):
            self.send_response(401)
            self.send_header("WWW-Authenticate", camera.challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.protocol_version = "HTTP/1.1" if camera.chunked else "HTTP/1.0"
        self.send_response(200)
        self.send_header("Content-Type", camera.content_type)
        if camera.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        seed = 0
        due = time.monotonic()
        while not self.server.off.wait(max(0.0, due - time.monotonic())):
            due += camera.period_seconds
            seed += 1
            encoded = cv2.imencode(".jpg", camera.picture(seed), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
            jpeg = camera.spoil(seed, encoded.tobytes())
            length = f"Content-Length: {len(jpeg)}\r\n" if camera.says_length else ""
            head = f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode()
            try:
                self.send(head + jpeg + b"\r\n")
            except ConnectionError:
                return

    def send(self, data: bytes):
        if self.server.camera.chunked:
            data = b"%x\r\n" % len(data) + data + b"\r\n"
        self.wfile.write(data)

    def log_message(self, *_):
        """The test's output is its own."""


class MjpegCamera:
    """A real HTTP server on loopback.

    Args:
        picture: of a number that counts up, the picture to serve.
        spoil: of that number and the JPEG, what is sent.
        period_seconds: between two pictures.
        says_length: False leaves the parts' Content-Length out.
        chunked: True sends in chunks of HTTP/1.1.
        login: user and password it asks for.
        digest: True asks for them by digest.
    """

    def __init__(
        self, picture=noise, spoil=lambda _, jpeg: jpeg, *, period_seconds=PERIOD_SECONDS, says_length=True,
        chunked=False, login=None, digest=False, content_type="multipart/x-mixed-replace; boundary=frame",
    ):  # fmt: skip
        self.picture, self.spoil, self.period_seconds = picture, spoil, period_seconds
        self.says_length, self.chunked, self.login = says_length, chunked, login
        self.content_type = content_type
        self._digest = digest
        self.challenge = 'Digest realm="cam", nonce="abc", qop="auth"' if digest else 'Basic realm="cam"'
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.off = threading.Event()
        self._server.camera = self
        user = f"{login[0]}:{login[1]}@" if login else ""
        self.port = self._server.server_port
        self.url = f"http://{user}127.0.0.1:{self._server.server_port}/video.mjpg"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self):
        self.switch_on()
        return self

    def __exit__(self, *_):
        self.switch_off()

    def switch_on(self):
        self._thread.start()

    def switch_off(self):
        self._server.off.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def lets_in(self, authorization: str, method: str) -> bool:
        user, password = self.login
        if not self._digest:
            return authorization == "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        fields = dict(part.strip().split("=", 1) for part in authorization[7:].split(",") if "=" in part)
        fields = {key: value.strip('"') for key, value in fields.items()}
        one = hashlib.md5(f"{user}:cam:{password}".encode()).hexdigest()
        two = hashlib.md5(f"{method}:{fields.get('uri')}".encode()).hexdigest()
        text = ":".join([one, "abc", fields.get("nc", ""), fields.get("cnonce", ""), "auth", two])
        return fields.get("response") == hashlib.md5(text.encode()).hexdigest()
