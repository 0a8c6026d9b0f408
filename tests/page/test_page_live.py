"""The page on a real daemon: what tabs are told of the line, and what happens when it goes."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.daemon import WELL, Daemon, camera_table, settings
from support.page_keys import with_keys
from support.page_process import PageProcess
from support.page_tab import Tab
from support.ports import free_ports
from websockets.exceptions import InvalidStatus

from inspectd.cli.daemon_process import DaemonProcess
from inspectd.config import MOST_PLACES
from inspectd.page.accounts.roles import Role
from inspectd.publish.access import keys
from inspectd.scoring.stub import Behaviour

STUB = Path(__file__).parents[1] / "support" / "stub_daemon.py"

pytestmark = pytest.mark.daemon


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
def keys_folder(tmp_path_factory) -> Path:
    return with_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    names = ("verdicts", "sync", "control", "previews")
    return dict(zip(names, free_ports(4), strict=True))


@pytest.fixture(scope="module")
def daemon(start_shared_daemon, stub_bank, small_good, ports, keys_folder) -> Daemon:
    tcp = "\n".join(f'{name}_tcp = "127.0.0.1:{port}"' for name, port in ports.items())
    extra = f'[preview]\nenabled = true\n[publish]\n{tcp}\n[security]\nkeys_dir = "{keys_folder}"'
    camera = camera_table("top", small_good, fps=20)
    return start_shared_daemon(settings(stub_bank, camera, extra=extra)).ready()


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


def test_pictures_come_while_they_are_drawn_and_only_of_what_is_shown(page, tabs) -> None:
    tab = tabs(page)
    tab.send(t="show", cameras=["top"])
    tab.until(lambda: len(tab.pictures) >= 5)
    picture = tab.pictures[-1]
    assert picture["camera"] == "top"
    assert picture["body"][: picture["jpeg"]].startswith(b"\xff\xd8")
    heat = picture["heat"]
    assert len(picture["body"]) == picture["jpeg"] + (heat["height"] * heat["width"] if heat else 0)
    assert 0 <= picture["sent_ms"] - picture["captured_ms"] < 2000
    numbers = [each["seq"] for each in tab.pictures]
    assert numbers == sorted(set(numbers))
    tab.acknowledges = False
    got = len(tab.pictures)
    rows = len(tab.rows)
    tab.until(lambda: len(tab.rows) > rows + 30)
    assert len(tab.pictures) <= got + 2
    tab.send(t="show", cameras=[])
    tab.send(t="ack")
    rows = len(tab.rows)
    tab.until(lambda: len(tab.rows) > rows + 10)
    assert len(tab.pictures) <= got + 2


def test_a_tab_may_show_all_cameras_that_a_line_can_have(page, tabs) -> None:
    tab = tabs(page)
    tab.send(t="show", cameras=["top", *(f"{number:063}" for number in range(MOST_PLACES - 1))])
    tab.until(lambda: tab.pictures)
    tab.send(t="show", cameras=["top"] * (MOST_PLACES + 1))
    assert tab.close_code() == 4400


def test_the_strip_has_what_did_not_pass(daemon, page, tabs) -> None:
    daemon.behave(Behaviour(fault="error"))
    tab = tabs(page)
    tab.send(t="show", cameras=["top"])
    tab.until(lambda: [each for each in tab.pictures if each["verdict"] != "pass"])
    daemon.behave(WELL)
    shown = next(each for each in tab.pictures if each["verdict"] != "pass")
    with page.browser("viewer") as browser:
        answer = browser.get(f"/api/strip/{shown['epoch']}/{shown['seq']}")
        assert answer.content[4 + int.from_bytes(answer.content[:4], "big") :] == shown["body"]
        assert browser.get("/api/strip/1/1").json()["what"] == "gone"


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
    tab.socket.send("x" * 20_000)
    assert tab.close_code() == 1009


def test_a_tab_that_reads_nothing_is_cut_off_and_holds_up_no_other(page, tabs) -> None:
    slow = socket.create_connection(("127.0.0.1", page.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(
        f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.origin}\r\n"
        f"Cookie: inspectd-plain.test.line={page.token('viewer')}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
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


@pytest.fixture(scope="module")
def keyed_page(daemon, ports, keys_folder, tmp_path_factory) -> Iterator[PageProcess]:
    """A page on another host, as it were: over TCP, with a key of its own."""
    line = "".join(
        f'{name} = "tcp://127.0.0.1:{port}"\n' for name, port in ports.items() if name != "verdicts"
    )
    line += f'server_key = "{keys_folder}/server.key"\nclient_key = "{keys_folder}/page1.key_secret"\n'
    process = PageProcess(
        tmp_path_factory.mktemp("keyed"), daemon.runtime_dir, line=line,
        verdicts=f"tcp://127.0.0.1:{ports['verdicts']}",
    )  # fmt: skip
    yield process
    process.close()


def test_a_page_whose_key_is_revoked_shows_nothing_as_live_and_is_back_with_it(
    keyed_page, keys_folder, tabs
) -> None:
    tab = tabs(keyed_page)
    tab.until(lambda: tab.state.get("state") == "running")
    allowed = keys.read_list(keys_folder).clients
    keys.write_allowed(keys_folder, [])
    tab.until(lambda: tab.state["state"] == "unreachable", 10)
    assert not tab.state["cameras"][0]["up"]
    keys.write_allowed(keys_folder, list(allowed))
    tab.until(lambda: tab.state["state"] == "running", 20)


def test_a_page_that_stands_still_or_is_killed_costs_no_verdict(daemon, tmp_path, tabs) -> None:
    page = PageProcess(tmp_path / "page", daemon.runtime_dir)
    try:
        tab = tabs(page)
        tab.send(t="show", cameras=["top"])
        tab.until(lambda: len(tab.rows) > 20 and tab.pictures)
        daemon.reader.read(0)
        began = len(daemon.reader.verdicts)
        page.process.send_signal(signal.SIGSTOP)
        daemon.until(lambda: len(daemon.reader.verdicts) > began + 40)
        page.process.send_signal(signal.SIGCONT)
        page.kill()
        daemon.until(lambda: len(daemon.reader.verdicts) > began + 80)
        since = daemon.reader.verdicts[began:]
        assert {verdict.reason for verdict in since} <= {"within_threshold", "above_threshold"}
        assert [verdict.seq for verdict in since] == list(range(since[0].seq, since[0].seq + len(since)))
    finally:
        page.close()


def test_a_line_that_ends_says_so_is_back_and_is_unreachable_when_it_is_killed(
    start_daemon, stub_bank, small_good, tmp_path, tabs
) -> None:
    daemon = start_daemon(settings(stub_bank, camera_table("top", small_good, fps=20))).ready()
    page = PageProcess(tmp_path / "page", daemon.runtime_dir)
    places = {
        "RUNTIME_DIRECTORY": str(daemon.runtime_dir), "STATE_DIRECTORY": str(daemon.folder / "state"),
    }  # fmt: skip
    again = None
    try:
        tab = tabs(page)
        tab.until(lambda: tab.state.get("state") == "running")
        daemon.stop()
        tab.until(lambda: tab.state["state"] == "stopped", 5)
        tab.until(lambda: "stopped" in {row["name"] for said in tab.said["e"] for row in said["rows"]}, 5)
        before = tab.state["bus"]["epoch"]
        command = [sys.executable, str(STUB)]
        again = DaemonProcess(daemon.file, daemon.folder / "log2", command=command, environment=places)
        tab.until(lambda: tab.state["state"] == "running" and tab.state["bus"]["epoch"] != before, 20)
        tab.until(lambda: tab.state["counts"]["shift"]["parts"] > 0)

        again.kill()
        began = time.monotonic()
        tab.until(lambda: tab.state["state"] == "unreachable", 5)
        assert time.monotonic() - began < 2.0  # a second and a state, on a busy machine
        assert (tab.state["cameras"][0]["up"], tab.state["cameras"][0]["reason"]) == (False, "line")
        assert tab.state["ne107"]["level"] == "failure"
        assert page.stop() == 0
    finally:
        page.close()
        if again is not None:
            again.kill()
            again.wait()


def test_a_page_that_stood_still_does_not_take_for_live_what_was_queued_meanwhile(
    start_daemon, stub_bank, small_good, tmp_path, tabs
) -> None:
    daemon = start_daemon(settings(stub_bank, camera_table("top", small_good, fps=20))).ready()
    page = PageProcess(tmp_path / "page", daemon.runtime_dir)
    try:
        tab = tabs(page)
        tab.until(lambda: tab.state.get("state") == "running" and tab.rows)
        daemon.reader.read(0)
        page.process.send_signal(signal.SIGSTOP)
        began = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > began + 40)
        daemon.process.kill()
        time.sleep(1.5)  # what it last said is older than a second, by any clock
        told, rows = len(tab.said["state"]), len(tab.rows)
        page.process.send_signal(signal.SIGCONT)
        tab.until(lambda: len(tab.said["state"]) > told + 2 and len(tab.rows) > rows + 20)
        since = [said["state"] for said in tab.said["state"][told + 1 :]]
        assert set(since) == {"unreachable"}
    finally:
        page.close()
