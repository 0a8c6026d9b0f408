"""A relay in front of a TCP port that counts what the server sends to each client."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Final

_CHUNK: Final = 65_536


class Tap:
    """Listens on `port` and passes everything on to the server's port."""

    def __init__(self, server_port: int) -> None:
        self.to_client: list[int] = []
        """Bytes that each connection's client was sent."""
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        """Begin to cut every connection."""
        self._stop.set()

    def close(self) -> None:
        """Cut every connection."""
        self.stop()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                client = self._listener.accept()[0]
                self.to_client.append(0)
                thread = threading.Thread(target=self._pass_on, args=(client, len(self.to_client) - 1))
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, client: socket.socket, number: int) -> None:
        with (
            contextlib.suppress(ConnectionError),
            client,
            socket.create_connection(("127.0.0.1", self._server_port)) as server,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while not self._stop.is_set():
                for key, _ in selector.select(0.1):
                    data = key.fileobj.recv(_CHUNK)
                    if not data:
                        return
                    if key.fileobj is server:
                        self.to_client[number] += len(data)
                    key.data.sendall(data)
