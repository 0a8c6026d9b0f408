"""Nothing is done that has no record, and a silent line is asked once at a time. On a page without a line."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.page_process import PASSWORD, PageProcess

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
