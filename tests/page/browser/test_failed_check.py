"""A check with golden parts that fails: why, for how long it is said, and in which language; a changeover."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Route, WebSocketRoute
from support.changeovers import checked_line
from support.daemon import Daemon
from support.glass import Glass

from inspectd.scoring.stub import Behaviour

pytestmark = pytest.mark.system

CUT = """() => [...document.querySelectorAll(".band .why *")].filter(each =>
  each.scrollHeight > each.clientHeight + 1 || each.scrollWidth > each.clientWidth + 1
).map(each => each.innerText)"""
BEFORE_COUNTS = """() => document.querySelector(".alarms").getBoundingClientRect().top <
  document.querySelector(".counter").getBoundingClientRect().top"""


@pytest.fixture(scope="module")
def changing(start_shared_daemon, stub_bank, good_folder) -> Daemon:
    return checked_line(start_shared_daemon, stub_bank, good_folder, part="bad-1", expect="fail")


def retold(glass: Glass, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """From now on the tab hears another state of the line than there is."""

    def between(page_s: WebSocketRoute) -> None:
        server = page_s.connect_to_server()

        def passed_on(message: str | bytes) -> None:
            told = json.loads(message) if isinstance(message, str) else {}
            is_state = told.get("t") == "state"
            page_s.send(json.dumps(told | change(told)) if is_state else message)

        server.on_message(passed_on)

    glass.tab.route_web_socket("**/live", between)


def test_why_a_check_failed_stays_until_one_passes_and_is_said_in_the_page_s_language(its_page, look) -> None:
    glass = look(its_page, "operator", "/golden")
    glass.sees("button", "Begin the check")
    glass.sees(".notice", "Stop the line or empty the belt before you put a golden part down")
    with glass.tab.expect_response("**/api/golden") as before:
        glass.tab.get_by_role("button", name="Refresh").tap()
    old = before.value.json()

    def late(route: Route) -> None:
        route.fulfill(body=json.dumps(old))

    glass.tab.route("**/api/golden", late)  # the colleague's is not known here yet
    assert its_page.browser("engineer").post("/api/acts/golden_begin", json={}).status_code == 200
    glass.tab.get_by_role("button", name="Begin the check").tap()
    glass.tab.unroute("**/api/golden", late)
    glass.sees(".notice", "engineer has begun this check already")
    glass.sees(".golden-check h2", "begun by engineer")
    glass.shot("begun-by-another")
    glass.tab.get_by_role("button", name="bad-1 lies before the cameras").tap()
    glass.sees("tbody .problem", "bad-1 on top: pass with score")
    glass.sees("tbody td", "look at the camera, the light and the recipe")
    glass.tab.get_by_role("button", name="Begin the check").tap()
    glass.tab.get_by_role("button", name="End the check").tap()
    glass.sees(".golden-check h2", "broken off")
    glass.sees("tbody .problem", "bad-1 on top: pass with score")
    assert glass.ask("POST", "/api/me/language", {"language": "ko"}) == 200
    try:
        glass.open("/golden").sees("tbody .problem", "top의 bad-1: 합격, 점수")
        glass.shot("failed-ko")
        glass.open("/").sees(
            ".band small", "점검에 합격할 때까지 모든 부품이 판정 불가입니다; top의 bad-1: 합격"
        )
        glass.shot("failed-ko-now")
        assert glass.tab.evaluate(CUT) == []
    finally:
        assert glass.ask("POST", "/api/me/language", {"language": "en"}) == 200
    glass.open("/").sees(".band small", "expected fail")
    glass.shot("failed-now")
    assert glass.tab.evaluate(CUT) == []
    glass.sees(".alarms li")
    assert glass.tab.evaluate(BEFORE_COUNTS)  # on a low glass none of them is cut


def test_what_the_line_did_not_answer_is_said_in_words_and_until_it_answers(its_page, look) -> None:
    glass = look(its_page, "operator", "/golden")
    glass.sees("tbody tr", "cell")
    said = {"recipes": [], "check": None, "what": "unavailable", "problem": "ipc:///x: no answer within 5 s"}

    def silent(route: Route) -> None:
        route.fulfill(body=json.dumps(said))

    glass.tab.route("**/api/golden", silent)
    glass.tab.get_by_role("button", name="Refresh").tap()
    glass.sees("main .problem", "The line does not answer")
    glass.tab.unroute("**/api/golden", silent)
    glass.tab.locator("main .problem", has_text="does not answer").wait_for(state="detached")


def test_while_nobody_knows_what_is_in_force_no_recipe_is_said_to_have_no_golden_parts(
    its_page, look
) -> None:
    glass = look(its_page, "operator")
    retold(glass, lambda told: {"recipe": None, "golden": []})
    glass.open("/golden").sees("main .hint", "is not known yet")
    assert "No recipe in force" not in glass.text("main")


def test_when_a_check_is_due_is_said_with_its_day_and_with_the_parts_until_then(its_page, look) -> None:
    due_ms = time.time_ns() // 1_000_000 + 5 * 86_400_000

    def in_days(told: dict[str, Any]) -> dict[str, Any]:
        due = {"state": "passed", "due_ms": due_ms, "due_parts": 3, "under_way": None}
        return {"golden": [{**each, **due} for each in told["golden"]]}

    glass = look(its_page, "operator")
    retold(glass, in_days)
    said = f"due at {datetime.fromtimestamp(due_ms / 1000, UTC):%Y-%m-%d %H:%M} or in 3 parts"
    glass.open("/").sees(".facts p", said)
    glass.open("/golden").sees("tbody td", said)


def test_what_was_asked_for_is_under_way_until_it_shows_and_its_parts_are_found(
    changing, its_page, look
) -> None:
    glass = look(its_page, "engineer", "/recipes")
    changing.behave(Behaviour(load_seconds=3))
    row = glass.tab.locator("tr", has_text="blue @ 1")
    for act, meanwhile in (("Prepare", "Being loaded"), ("Put in force", "Being done")):
        row.get_by_role("button", name=act).tap()
        glass.tab.get_by_role("dialog").get_by_role("button", name=act).tap()
        glass.sees("tr:has-text('blue @ 1') [role=status]", meanwhile)
        assert row.locator("button").count() == 0
        glass.shot(meanwhile)
    glass.sees("tr.in_force", "blue @ 1")
    changing.until(lambda: any(each.recipe == "blue" for each in changing.reader.verdicts))
    names = its_page.browser("viewer")
    while "blue" not in names.get("/api/names").json()["recipes"]:
        changing.reader.read(100)  # the history takes a moment
    for path in ("/history", "/trends"):
        glass.open(path).tab.get_by_label("Recipe").select_option("blue")
        if path == "/history":
            glass.sees("tbody tr", "blue @ 1")
    glass.sees("summary", "changes in this time")
    glass.tab.locator("summary", has_text="changes in this time").tap()
    glass.sees("tbody tr", "cell → blue@1, top")
    glass.shot("changes")
