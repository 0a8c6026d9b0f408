"""The page on a real daemon: what tabs are told of the line, and what happens when it goes."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, camera_table, settings
from support.page_process import PageProcess
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from inspectd.cli.daemon_process import DaemonProcess
from inspectd.page.accounts.roles import Role

STUB = Path(__file__).parents[1] / "support" / "stub_daemon.py"

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
        end = time.monotonic() + 15
        while time.monotonic() < end:
            try:
                self.socket.recv(timeout=10)
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006
        raise AssertionError("the tab is not cut off")


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


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null"])
def test_another_site_opens_no_tab(page, origin) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Tab(page, origin=origin)
    assert refused.value.response.status_code == 403


def test_nobody_gets_a_tab_and_one_that_is_logged_out_is_closed(page, tabs) -> None:
    assert tabs(page, None).close_code() == 4401
    tab = tabs(page, Role.OPERATOR)
    tab.until(lambda: tab.state)
    page.store.set_password("operator", page.store.user("operator").password_hash)
    assert tab.close_code() == 4401


@pytest.mark.parametrize("message", ["", "[" * 1000, '{"t":"open_gate"}', '{"t":"show","cameras":"top"}'])
def test_a_message_of_no_kind_ends_the_tab(page, tabs, message) -> None:
    tab = tabs(page)
    tab.socket.send(message)
    assert tab.close_code() == 4400


def test_a_message_that_is_too_long_ends_the_tab(page, tabs) -> None:
    tab = tabs(page)
    tab.socket.send("x" * 2000)
    assert tab.close_code() == 1009


def test_a_tab_that_reads_nothing_is_cut_off_and_holds_up_no_other(page, tabs) -> None:
    slow = socket.create_connection(("127.0.0.1", page.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(
        f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.origin}\r\n"
        f"Cookie: inspectd-plain={page.token('viewer')}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b"101" in slow.recv(12)
    tab = tabs(page)
    tab.until(lambda: len(tab.rows) > 100)
    ages = [said["server_ms"] for said in tab.said["state"]]
    assert max(after - before for before, after in pairwise(ages)) < 1500
    slow.close()


def test_what_a_tab_shows_that_the_line_has_not_does_no_harm(daemon, page, tabs) -> None:
    tab = tabs(page)
    tab.send(t="show", cameras=["no-camera", "../..", "top/pv/", ""])
    seen = len(tab.rows)
    tab.until(lambda: len(tab.rows) > seen + 5)
    assert not tab.pictures


def test_a_page_that_is_killed_and_one_that_stands_still_cost_no_verdict(
    start_daemon, stub_bank, good_folder, tmp_path, tabs
) -> None:
    daemon = start_daemon(settings(stub_bank, camera_table("top", good_folder, fps=40))).ready()
    page = PageProcess(tmp_path / "page", daemon.runtime_dir)
    try:
        tab = tabs(page)
        tab.until(lambda: len(tab.rows) > 20)
        page.process.send_signal(signal.SIGSTOP)
        seen = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > seen + 80)
        page.process.send_signal(signal.SIGCONT)
        page.kill()
        seen = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > seen + 40)
        reasons = {verdict.reason for verdict in daemon.reader.verdicts}
        assert reasons <= {"within_threshold", "above_threshold"}
        numbers = [verdict.seq for verdict in daemon.reader.verdicts]
        assert numbers == sorted(numbers)

        page.start()
        tab = tabs(page)
        tab.until(lambda: tab.state.get("state") == "running")
        daemon.process.kill()
        began = time.monotonic()
        tab.until(lambda: tab.state["state"] == "unreachable", 5)
        assert time.monotonic() - began < 1.5
        assert not tab.state["cameras"][0]["up"]
        assert tab.state["cameras"][0]["reason"] == "line"
        assert tab.state["ne107"]["level"] == "failure"
        assert page.stop() == 0
    finally:
        page.close()


def test_a_line_that_ends_says_so_and_is_back_when_it_starts_again(
    start_daemon, stub_bank, good_folder, tmp_path, tabs
) -> None:
    text = settings(stub_bank, camera_table("top", good_folder, fps=20))
    daemon = start_daemon(text).ready()
    page = PageProcess(tmp_path / "page", daemon.runtime_dir)
    try:
        tab = tabs(page)
        tab.until(lambda: tab.state.get("state") == "running")
        daemon.stop()
        tab.until(lambda: tab.state["state"] == "stopped", 5)
        tab.until(lambda: "stopped" in {row["name"] for said in tab.said["e"] for row in said["rows"]}, 5)
        before = tab.state["bus"]["epoch"]
        again = DaemonProcess(
            daemon.file, daemon.folder / "log2", command=[sys.executable, str(STUB)],
            environment={
                "RUNTIME_DIRECTORY": str(daemon.runtime_dir), "STATE_DIRECTORY": str(daemon.folder / "state"),
            },
        )  # fmt: skip
        try:
            tab.until(lambda: tab.state["state"] == "running" and tab.state["bus"]["epoch"] != before, 20)
            tab.until(lambda: tab.state["counts"]["shift"]["parts"] > 0)
        finally:
            again.kill()
            again.wait()
    finally:
        page.close()
