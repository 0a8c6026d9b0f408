"""A hop between two hosts that holds back what passes, as a network does that loses packets, or delays it.

What it kept it may hand on with rests, as a proxy on a busy host does.
"""

import contextlib
import socket
import threading
import time
from collections import deque


class Relay:
    """Passes bytes on to `port`, after `delay_seconds`; while `held` is set, it keeps them, in order.

    Between two pieces that it kept it rests for `rest_seconds`.
    """

    def __init__(self, port: int):
        self.held = threading.Event()
        self.delay_seconds = 0.0
        self.rest_seconds = 0.0
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source, sink):
        kept = deque()
        with contextlib.suppress(OSError), source, sink:
            source.settimeout(0.005)
            while not self._ended.is_set():
                with contextlib.suppress(TimeoutError):
                    data = source.recv(65_536)
                    if not data:
                        return
                    kept.append((time.monotonic() + self.delay_seconds, data))
                while kept and not self.held.is_set() and kept[0][0] <= time.monotonic():
                    sink.sendall(kept.popleft()[1])
                    if kept:
                        time.sleep(self.rest_seconds)
