"""The page on a real daemon: what tabs are told of the line, and what happens when it goes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.daemon import Daemon, camera_table, settings
from support.page_process import PageProcess
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from inspectd.page.accounts.roles import Role

pytestmark = pytest.mark.daemon


class Tab:
    """An open tab: what it was sent, by kind."""

    def __init__(self, page: PageProcess, role: Role | None = Role.VIEWER, origin: str | None = None) -> None:
        headers = {} if role is None else {"Cookie": f"inspectd-plain={page.token(role)}"}
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
        with pytest.raises(ConnectionClosed) as ended:
            while True:
                self.socket.recv(timeout=10)
        return ended.value.rcvd.code if ended.value.rcvd else 1006


@pytest.fixture
def tabs() -> Iterator[Callable[..., Tab]]:
    opened: list[Tab] = []

    def open_tab(*arguments: Any, **more: Any) -> Tab:
        opened.append(Tab(*arguments, **more))
        return opened[-1]

    yield open_tab
    for tab in opened:
        tab.open.close()


@pytest.fixture(scope="module")
def daemon(start_shared_daemon, stub_bank, good_folder) -> Daemon:
    return start_shared_daemon(settings(stub_bank, camera_table("top", good_folder, fps=20))).ready()


@pytest.fixture(scope="module")
def page(daemon, tmp_path_factory) -> Iterator[PageProcess]:
    process = PageProcess(tmp_path_factory.mktemp("page"), daemon.runtime_dir)
    yield process
    process.close()


def test_a_tab_is_told_the_line_and_every_verdict(daemon, page, tabs) -> None:
    tab = tabs(page)
    tab.until(lambda: tab.state.get("state") == "running" and len(tab.rows) >= 60)
    state = tab.state
    assert state["bus"]["alive"]
    assert [(camera["name"], camera["up"]) for camera in state["cameras"]] == [("top", True)]
    assert state["cameras"][0]["frame_age_ms"] < 1000
    tab.until(lambda: tab.state["recipe"] and tab.state["takt_ms"])
    assert 40 < tab.state["takt_ms"] < 70
    numbers = [row["seq"] for row in tab.rows]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    tab.until(lambda: tab.state["counts"]["shift"]["parts"] > 60)
    counts = tab.state["counts"]["shift"]
    assert counts["pass"] + counts["fail"] + counts["undecidable"] == counts["parts"]
