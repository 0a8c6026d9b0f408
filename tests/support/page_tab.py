"""An open tab of the page, without a browser: its WebSocket, and what came over it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from support.page_process import PageProcess
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from inspectd.page.accounts.roles import Role


class Tab:
    """An open tab: what it was sent, by kind."""

    def __init__(self, page: PageProcess, role: Role | None = Role.VIEWER, origin: str | None = None) -> None:
        headers = {} if role is None else {"Cookie": f"inspectd-plain.test.line={page.token(role)}"}
        self.open = ExitStack()
        self.socket: ClientConnection = self.open.enter_context(
            connect(
                f"ws://127.0.0.1:{page.port}/live", origin=origin or page.origin, additional_headers=headers,
                compression=None, open_timeout=5, close_timeout=1,
            )
        )  # fmt: skip
        self.said: dict[str, list[dict[str, Any]]] = {"state": [], "v": [], "e": []}
        self.pictures: list[dict[str, Any]] = []
        self.acknowledges = True

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def read(self, seconds: float = 1.0) -> None:
        message = self.socket.recv(timeout=seconds)
        if isinstance(message, str):
            said = json.loads(message)
            self.said[said["t"]].append(said)
            return
        size = int.from_bytes(message[:4], "big")
        self.pictures.append({**json.loads(message[4 : 4 + size]), "body": message[4 + size :]})
        if self.acknowledges:
            self.send(t="ack")

    def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.said["state"][-1:]
            try:
                self.read(0.5)
            except TimeoutError:
                continue

    @property
    def state(self) -> dict[str, Any]:
        return self.said["state"][-1] if self.said["state"] else {}

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for said in self.said["v"] for row in said["rows"]]

    def close_code(self) -> int:
        end = time.monotonic() + 15
        while time.monotonic() < end:
            try:
                self.socket.recv(timeout=10)
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006
        raise AssertionError("the tab is not cut off")
