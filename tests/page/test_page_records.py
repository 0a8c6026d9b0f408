"""Nothing is done that has no record, and a silent line is asked once at a time. On a page without a line."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.disks import disk, frozen, needs_root
from support.page_process import PASSWORD, PageProcess
from support.page_tab import Tab

from inspectd.page.accounts.roles import Role

pytestmark = pytest.mark.daemon


@pytest.fixture
def page(tmp_path) -> Iterator[PageProcess]:
    process = PageProcess(tmp_path, tmp_path / "no-line")
    yield process
    process.close()


def test_nothing_is_done_that_cannot_be_recorded(page) -> None:
    admin, engineer = page.browser("admin"), page.browser("engineer")
    assert engineer.post("/api/acts/order_begin", json={"order": "A 1"}).status_code == 200
    assert [record["result"] for record in page.audit()] == ["begun", "done"]
    short = {"do": "password", "name": "viewer", "password": "short"}
    assert admin.post("/api/users", json=short).status_code == 400
    assert engineer.post("/api/me/password", json={"old": PASSWORD, "new": "short"}).status_code == 400
    assert [record["result"].partition(":")[0] for record in page.audit()[2:]] == [
        "begun",
        "refused",
        "done",
        "begun",
        "refused",
    ]  # fmt: skip - `done`: the password that was given is the right one
    file = page.folder / "store" / "page-audit.jsonl"
    file.write_bytes(file.read_bytes().replace(b"refused", b"allowed"))
    viewer = page.browser("viewer")
    session = next(each for each in page.store.sessions() if each.user.name == "viewer")
    assert engineer.post("/api/acts/order_begin", json={"order": "C 3"}).status_code == 503
    added = {"do": "add", "name": "ghost", "role": "admin", "password": PASSWORD}
    assert admin.post("/api/users", json=added).status_code == 503
    assert admin.post("/api/sessions/revoke", json={"id": session.id}).status_code == 503
    changed = {"old": PASSWORD, "new": "another long password"}
    assert engineer.post("/api/me/password", json=changed).status_code == 503
    assert b"A 1" in (page.folder / "store" / "order.json").read_bytes()
    assert page.store.user("ghost") is None
    assert viewer.get("/api/me").status_code == 200
    assert engineer.get("/api/me").status_code == 200
    assert viewer.get("/api/users").status_code == 403  # a look is refused all the same


def test_of_two_who_begin_an_order_at_the_same_time_one_does_and_the_other_is_told(page) -> None:
    browsers = [page.browser("operator"), page.browser("engineer")]
    for turn in range(10):
        names, answers = (f"A {turn}", f"a much longer name {turn}"), dict[str, Any]()

        def begin(browser: Any, name: str, answers: dict[str, Any] = answers) -> None:
            answers[name] = browser.post("/api/acts/order_begin", json={"order": name})

        both = [threading.Thread(target=begin, args=each) for each in zip(browsers, names, strict=True)]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert sorted(answer.status_code for answer in answers.values()) == [200, 409]
        begun, late = sorted(names, key=lambda name: answers[name].status_code)
        assert answers[late].json()["what"] == "other_order"
        assert f"order {begun} is under way" in answers[late].json()["error"]
        kept = json.loads((page.folder / "store" / "order.json").read_bytes())
        assert kept["name"] == begun
        ends = {row["new"]: row["result"] for row in page.audit() if row["result"] != "begun"}
        assert (ends[begun], ends[late][:7]) == ("done", "refused")
        assert browsers[1].post("/api/acts/order_end", json={"order": late}).json()["what"] == "other_order"
        assert browsers[0].post("/api/acts/order_end", json={"order": begun}).status_code == 200


@pytest.mark.parametrize("how", ["disabled", "logged out"])
def test_who_may_no_more_when_the_request_is_all_there_has_nothing_done(page, how) -> None:
    body = b'{"order":"A 1"}'
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as raw:
        raw.sendall(
            f"POST /api/acts/order_begin HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.origin}\r\n"
            f"Cookie: {page.cookie}={page.token('operator')}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 100 ")  # it waits for the body by now
        if how == "disabled":
            page.store.set_disabled("operator", is_disabled=True)
        else:
            page.store.end_session(page.store.sessions()[0].id)
        raw.sendall(body)
        assert raw.recv(100).startswith(b"HTTP/1.1 401 ")
    assert page.audit() == []
    assert not (page.folder / "store" / "order.json").exists()


def test_an_order_that_cannot_be_written_down_is_recorded_as_refused(page) -> None:
    (page.folder / "store" / "order.json.new").mkdir()
    assert page.browser("operator").post("/api/acts/order_begin", json={"order": "A"}).status_code == 503
    assert [row["result"].partition(":")[0] for row in page.audit()] == ["begun", "refused"]


@needs_root
def test_a_disk_that_hangs_holds_up_acts_and_no_look(tmp_path) -> None:
    with disk(tmp_path / "disk", 64) as folder:
        page = PageProcess(folder, tmp_path / "no-line", start=False)
        page.log = tmp_path / "page.log"
        page.start()
        viewer, operator, tab = page.browser("viewer"), page.browser("operator"), Tab(page, Role.OPERATOR)
        answers: list[int] = []

        def act() -> None:
            said = operator.post("/api/me/language", json={"language": "ko"}, timeout=60)
            answers.append(said.status_code)

        acting = threading.Thread(target=act)
        try:
            page.store._database.execute(
                "UPDATE sessions SET used_ms = used_ms - 10000"
            )  # use is noted again
            assert viewer.get("/api/me").status_code == 200
            with frozen(folder):
                tab.send(t="used")
                acting.start()
                for _ in range(30):
                    assert viewer.get("/api/me", timeout=10).status_code == 200
                assert answers == []
            acting.join()
            assert answers == [200]
            tab.open.close()
        finally:
            page.close()


def test_a_silent_line_is_asked_once_at_a_time_and_all_get_that_answer(page) -> None:
    answers: list[dict[str, Any]] = []

    def look(number: int) -> None:
        answers.append(page.browser("viewer", address=f"127.0.1.{number}").get("/api/golden").json())

    looking = [threading.Thread(target=look, args=(number,)) for number in range(1, 13)]
    began = time.monotonic()
    for thread in looking:
        thread.start()
        time.sleep(0.3)
    for thread in looking:
        thread.join()
    assert time.monotonic() - began < 12  # 5 s of patience, twice
    assert all(answer["problem"] for answer in answers)
    assert {answer["what"] for answer in answers} == {"unavailable"}
