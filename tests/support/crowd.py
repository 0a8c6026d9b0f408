"""Many browsers before one page, without their glass: each has an open tab and asks for more all the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import msgspec
from support.page_process import COOKIE, NOTHING, PageProcess
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

_PATHS = ("/api/verdicts?limit=100", "/api/line", "/", "/api/trends", "/api/golden", "/assets/app.js")


class Served(msgspec.Struct):
    """What they got.

    Attributes:
        answers: to requests.
        messages: over WebSockets.
    """

    answers: int = 0
    messages: int = 0


@contextmanager
def crowd(page: PageProcess, number: int) -> Iterator[Served]:
    """So many browsers, each at an address of its own."""
    served, ended = Served(), threading.Event()
    threads = []
    for index in range(number):
        address, token = f"127.0.1.{index + 1}", page.token("viewer")
        threads += [
            threading.Thread(target=_watch, args=(page, address, token, served, ended)),
            threading.Thread(target=_ask, args=(page, address, token, served, ended)),
        ]
    for thread in threads:
        thread.start()
    try:
        yield served
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _watch(page: PageProcess, address: str, token: str, served: Served, ended: threading.Event) -> None:
    with suppress(OSError, WebSocketException, TimeoutError), connect(
        f"ws://127.0.0.1:{page.port}/live", origin=page.origin, compression=None, close_timeout=1,
        additional_headers={"Cookie": f"{COOKIE}={token}"}, source_address=(address, 0),
    ) as socket:  # fmt: skip
        socket.send('{"t":"show","cameras":["top","side"]}')
        while not ended.is_set():
            with suppress(TimeoutError):
                if isinstance(socket.recv(timeout=1), bytes):
                    socket.send('{"t":"ack"}')
                served.messages += 1


def _ask(page: PageProcess, address: str, token: str, served: Served, ended: threading.Event) -> None:
    transport = httpx.HTTPTransport(local_address=address, verify=NOTHING)
    with httpx.Client(
        base_url=page.origin, cookies={COOKIE: token}, transport=transport, timeout=30
    ) as client:
        while not ended.is_set():
            for path in _PATHS:
                with suppress(httpx.HTTPError):
                    client.get(path)
                    served.answers += 1
