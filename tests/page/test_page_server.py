"""The page as a process without a line: login, roles, where requests may come from, limits, headers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from support.page_process import PASSWORD, PageProcess

from inspectd.page.accounts.roles import ROLES, Role
from inspectd.page.security import HEADERS

pytestmark = pytest.mark.daemon


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    folder = tmp_path_factory.mktemp("page")
    process = PageProcess(folder, folder / "no-line")
    yield process
    process.close()


def log_in(page: PageProcess, name: str, password: str = PASSWORD, **more):
    browser = page.browser()
    answer = browser.post("/login", data={"name": name, "password": password}, **more)
    return browser, answer


def test_who_logs_in_is_told_what_the_role_may(page) -> None:
    browser, answer = log_in(page, "Engineer")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    me = browser.get("/api/me").json()
    assert (me["name"], me["role"], me["is_idle"]) == ("engineer", "engineer", False)
    assert set(me["acts"]) == set(ROLES[Role.ENGINEER].acts)
    assert browser.post("/logout").headers["location"] == "/login"
    assert browser.get("/api/me").status_code == 401
    records = [(each["action"], each["who"], each["result"]) for each in page.audit()]
    assert records[-2:] == [("login", "engineer", "done"), ("logout", "engineer", "done")]
