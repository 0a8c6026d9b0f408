"""A camera that serves motion JPEG over HTTP, as many cheap ones do."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
from support.pictures import noise

PERIOD_SECONDS = 0.1


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        seed = 0
        while not self.server.off.wait(PERIOD_SECONDS):
            seed += 1
            jpeg = cv2.imencode(".jpg", noise(seed))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except ConnectionError:
                return

    def log_message(self, *_):
        """The test's output is its own."""


class MjpegCamera:
    """A real HTTP server on loopback, ten frames a second."""

    def __init__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.off = threading.Event()
        self.url = f"http://127.0.0.1:{self._server.server_port}/video.mjpg"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def switch_on(self):
        self._thread.start()

    def switch_off(self):
        self._server.off.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
