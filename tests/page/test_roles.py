"""Every role against every act, and every address of the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
from starlette.routing import Route
from support.page_process import CHEAP, PageProcess
from support.page_roles import ADDRESSES, MAY, SHA256, assert_each_may_what_it_may_and_no_more

from inspectd.page.accounts.passwords import PasswordChecker
from inspectd.page.accounts.roles import ELSEWHERE, ROLES, Act, Role
from inspectd.page.accounts.store import AccountStore
from inspectd.page.history.asking import HistoryQuestions
from inspectd.page.history.routes import routes
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.orders import OrderFile
from inspectd.page.live.hub import LiveHub
from inspectd.page.server import PageParts, make_app
from inspectd.page.settings import PageConfig, PageStore
from inspectd.page.site import make_guard
from inspectd.teach.roles import ALLOWED


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    folder = tmp_path_factory.mktemp("page")
    process = PageProcess(folder, folder / "no-line")
    yield process
    process.close()


@pytest.fixture(autouse=True)
def browsers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Closes them after each test."""
    yield
    if "page" in request.fixturenames:
        request.getfixturevalue("page").close_browsers()


def test_the_table() -> None:
    assert {role.value: {act.value for act in rules.acts} for role, rules in ROLES.items()} == MAY
    assert set(ROLES) == set(Role)
    assert {act for acts in MAY.values() for act in acts} == {act.value for act in Act}


def test_teaching_has_one_table_of_roles() -> None:
    of_page = {
        (act.removeprefix("teach_"), role)
        for role, acts in MAY.items()
        for act in acts
        if act.startswith("teach_")
    }
    assert of_page == {
        (act.value, role) for act, roles in ALLOWED.items() if act not in ELSEWHERE for role in roles
    }


def test_the_addresses_are_all_there_are(tmp_path) -> None:
    settings = PageConfig(store=PageStore(dir=str(tmp_path)))
    counts: Counter[tuple[str, str]] = Counter()
    with closing(AccountStore(tmp_path)) as store, closing(PasswordChecker(CHEAP)) as passwords:
        guard, orders = make_guard(settings, counts, store), OrderFile(tmp_path)
        parts = PageParts(guard, passwords, LiveHub(settings, PartCounts(), orders), orders, counts)
        questions = HistoryQuestions(tmp_path / "history", ("plant", "line1"), lambda: None)
        more = routes(questions, guard.allow, guard.record, settings.zone)
        app = make_app(settings, parts, more_routes=more)
        questions.close()
    there = {
        (method, each.path)
        for each in app._app.routes
        if isinstance(each, Route) and each.path.startswith("/api")
        for method in each.methods - {"HEAD"}
    }
    named = {
        (
            method,
            re.sub("/1/1", "/{epoch:number}/{seq:number}", address.partition("?")[0]).replace(
                SHA256, "{sha256}"
            ),
        )
        for method, address in ADDRESSES
    }
    assert named == there


@pytest.mark.daemon
def test_each_role_gets_what_it_may_and_is_refused_the_rest(page) -> None:
    assert_each_may_what_it_may_and_no_more({role: page.browser(role) for role in MAY})
    for role in MAY:
        refused = {
            row["object"] for row in page.audit() if row["who"] == role and row["result"] == "refused: role"
        }
        assert refused == {address for (_, address), act in ADDRESSES.items() if act not in MAY[role]}
    browser = page.browser("viewer", address="127.0.0.4")
    records = len(page.audit())
    assert {browser.get("/api/verdicts.csv").status_code for _ in range(20)} == {403}
    assert len(page.audit()) == records + 5


@pytest.mark.daemon
def test_nobody_gets_anything_but_the_login(page) -> None:
    browser = page.browser()
    for method, address in ADDRESSES:
        answer = browser.request(method, address, json={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["what"]) == (401, "login"), address
    for address in ("/", "/history", "/part/1/2", "/users"):
        assert browser.get(address).headers["location"] == "/login"
