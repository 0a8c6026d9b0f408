"""Pages beside the live one: history, a part, roles, languages; for everybody, and with hostile names."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import build_page
import pytest
from playwright.sync_api import Page, Route
from support.glass import PANEL, TABLET, Glass

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror="
PAGES = {
    "engineer": ("/", "/history", "/trends", "/recipes", "/golden", "/account"),
    "admin": ("/users", "/sessions", "/audit"),
}
SMALL = """() => [...document.querySelectorAll("button, a, select, input, summary")].filter(each => {
  const at = each.getBoundingClientRect();
  return at.width && !each.matches(".skip") && (at.width < 43.5 || at.height < 43.5);
}).map(each => each.outerHTML.slice(0, 100))"""
WIDER = "() => document.documentElement.scrollWidth > innerWidth"


def serious(tab: Page) -> list[tuple[str, ...]]:
    """What `axe` finds of a page that keeps people from using it."""
    build_page.install()
    tab.evaluate(f"{(build_page.PAGE / 'node_modules/axe-core/axe.min.js').read_text()}; 0")
    found = tab.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        (each["id"], each["nodes"][0]["html"][:150], each["nodes"][0]["failureSummary"][:200])
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


def rows_of(glass: Glass) -> list[str]:
    glass.sees("tbody tr")
    return glass.tab.locator("tbody tr").all_inner_texts()


def test_trends_say_which_of_the_parts_that_now_counts_they_leave_out(page, look) -> None:
    glass = look(page, "viewer", "/trends")  # of a line that takes triggers, and a camera that runs free
    glass.sees(".hint", "triggered parts,")
    glass.sees(".hint", "Views that no trigger asked for are not counted here")
    glass.tab.get_by_label("Camera").select_option("top")
    glass.sees(".hint", "single views,")
    assert "not counted here" not in glass.text("main")


def test_rejects_of_the_shift_are_two_touches_away_and_lead_to_a_part(page, look) -> None:
    glass = look(page, "inspector", "/history")
    rows_of(glass)
    glass.tab.get_by_role("button", name="This shift").tap()
    glass.tab.get_by_label("Verdict").select_option("fail")
    glass.tab.wait_for_url("**verdict=fail**")
    glass.tab.wait_for_function(
        "() => [...document.querySelectorAll('tbody tr')].every(row => row.innerText.includes('FAIL'))"
    )
    assert all("Score above the limit" in row for row in rows_of(glass))
    glass.tab.locator("tbody a").last.tap()
    glass.sees(".verdict-line", "FAIL")
    glass.sees(".picture canvas")
    glass.tab.wait_for_function("() => document.querySelector('.picture canvas').width > 50")
    assert glass.colours(".picture canvas") > 8
    glass.sees("dl.facts", "Limit")
    glass.tab.go_back()
    glass.tab.wait_for_url("**verdict=fail**")


def test_a_part_without_a_picture_says_why(page, look) -> None:
    glass = look(page, "viewer", "/history?kind=part")
    rows_of(glass)
    glass.tab.locator("tbody a").first.tap()
    glass.sees(".no-picture", "Each view of this part has its own picture")
    glass.sees(".views tbody tr")


def test_times_are_the_plants_whatever_the_browser_thinks(page, line, look) -> None:
    glass = look(page, "viewer", "/history")
    glass.sees("legend", "Asia/Seoul")
    newest = line.reader.verdicts[-1].decided_utc_ns // 1_000_000
    hour = glass.tab.evaluate(
        "ms => new Intl.DateTimeFormat('en-GB', {timeZone: 'Asia/Seoul', hour: '2-digit'}).format(ms)", newest
    )
    assert f" {int(hour):02d}:" in rows_of(glass)[-1]


def test_a_shift_begins_when_the_server_says_it_does(page, look) -> None:
    glass = look(page, "viewer", "/account")
    hour_ms, now_ms = 3_600_000, time.time_ns() // 1_000_000
    # The day before it began two hours later by the wall, as where a change of clocks left its hour out.
    began = [now_ms + 5 * hour_ms, now_ms - 3 * hour_ms, now_ms - 25 * hour_ms]

    def tell(route: Route) -> None:
        facts = route.fetch().json()
        route.fulfill(json={**facts, "shifts": [{"from_ms": at} for at in began]})

    glass.tab.route("**/api/line", tell)
    glass.open("/history")
    at = datetime.fromtimestamp(began[1] / 1000, ZoneInfo("Asia/Seoul"))
    glass.sees(".presets button", f"This shift {at:%H:%M}")


def test_hostile_names_are_shown_and_do_nothing(page, look) -> None:
    glass = look(page, "operator", "/history?kind=part")
    assert HOSTILE in rows_of(glass)[0]
    assert glass.ask("POST", "/api/acts/order_begin", {"order": f"{HOSTILE}a>"}) == 200
    glass.open("/").sees(".counter h2", HOSTILE)
    assert glass.ask("POST", "/api/acts/order_end", {"order": f"{HOSTILE}a>"}) == 200
    glass.open("/history?verdict=fail")
    rows_of(glass)
    glass.tab.locator("tbody a").first.tap()
    glass.tab.locator("summary", has_text="All fields").tap()
    glass.sees("dl.raw dd", HOSTILE)
    assert glass.tab.locator("img").count() == 0
    assert "hacked" not in glass.tab.title()


def test_each_role_sees_and_may_only_its_own(page, look) -> None:
    viewer = look(page, "viewer", "/users")
    viewer.sees("main", "Your role may not see this page")
    links = viewer.tab.get_by_role("navigation").locator("a").all_inner_texts()
    assert links == ["Now", "History", "Trends", "Recipes", "Golden parts"]
    assert viewer.ask("GET", "/api/users") == 403
    assert viewer.ask("POST", "/api/acts/order_begin", {"order": "a"}) == 403
    viewer.open("/history")
    rows_of(viewer)
    assert viewer.tab.get_by_text("Download as CSV").count() == 0
    admin = look(page, "admin", "/users")
    assert any("Engineer" in row for row in rows_of(admin))
    assert admin.ask("POST", "/api/acts/golden_begin", {}) == 403
    engineer = look(page, "engineer")
    engineer.sees("button", "Begin an order")
    assert engineer.ask("GET", "/api/audit") == 403


BROKEN = """() => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode())
    for (const word of node.data.matchAll(/[A-Za-z0-9:]{2,20}/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const tops = [...range.getClientRects()].map(each => Math.round(each.top));
      if (new Set(tops).size > 1) found.push(word[0]);
    }
  return found;
}"""
"""Words that are broken over lines."""
OVERLAPPING = """() => {
  const places = [...document.querySelectorAll("nav a, .tile .numbers, .tile .age")].map(each => {
    const range = document.createRange();
    range.selectNodeContents(each);
    return [each.innerText, range.getBoundingClientRect()];
  }).filter(([, at]) => at.width);
  const isOver = (a, b) => a.right > b.left + 1 && b.right > a.left + 1;
  const isLevel = (a, b) => a.bottom > b.top + 1 && b.bottom > a.top + 1;
  return places.flatMap(([name, a], at) => places.slice(at + 1)
    .filter(([, b]) => isOver(a, b) && isLevel(a, b))
    .map(([other]) => `${name} and ${other}`));
}"""


@pytest.mark.parametrize("size", [{"width": 390, "height": 844}, {"width": 1024, "height": 768}])
def test_on_small_glass_no_word_is_broken_hidden_or_over_another(page, look, size) -> None:
    for role, paths in {"operator": ("/", "/history", "/golden"), "admin": ("/users", "/audit")}.items():
        glass = look(page, role, size=size)
        for path in paths:
            glass.open(path).sees("tbody tr, .tile .numbers, .hint")
            glass.shot(f"small-{size['width']}-{path[1:] or 'now'}")
            assert glass.tab.evaluate(BROKEN) == [], path
            assert glass.tab.evaluate(OVERLAPPING) == [], path
            assert not glass.tab.evaluate(WIDER), path
            wider = "nav => nav.scrollWidth - nav.clientWidth"
            assert glass.tab.locator("nav").first.evaluate(wider) <= 0
    glass = look(page, "operator", size={"width": 1024, "height": 768})
    assert glass.ask("POST", "/api/acts/order_begin", {"order": "4711"}) == 200
    try:
        glass.sees(".counter h2", "4711")
        at = glass.tab.get_by_role("button", name="End the order").bounding_box()
        assert at is not None
        assert at["y"] + at["height"] <= 768
        inside = """() => [...document.querySelectorAll('.counter')].every(each =>
          each.scrollWidth <= each.clientWidth)"""
        assert glass.tab.evaluate(inside)
    finally:
        assert glass.ask("POST", "/api/acts/order_end", {"order": "4711"}) == 200


def test_who_was_idle_is_asked_for_the_password_and_not_told_that_the_role_may_not(page, look) -> None:
    glass = look(page, "admin")
    glass.tab.route(
        "**/api/me",
        lambda route: route.fulfill(json={**route.fetch().json(), "is_idle": True, "acts": ["view"]}),
    )
    glass.open("/users").sees("main", "Your password is asked for first")


def test_one_steps_through_the_list_from_which_a_part_was_opened(page, look) -> None:
    glass = look(page, "viewer", "/history?verdict=fail&kind=frame")
    rows_of(glass)
    glass.tab.locator("tbody a").nth(3).tap()
    for step in ("One before", "One after"):
        before = glass.tab.url
        glass.tab.get_by_role("link", name=step).tap()
        glass.tab.wait_for_function("before => location.href !== before", arg=before)
        glass.sees(".verdict-line", "FAIL")
    glass.open("/history?score_min=10&score_max=2").sees(".problem", "The lowest score is above the highest")


def test_a_user_is_added_and_what_was_done_is_in_the_audit(page, look) -> None:
    glass = look(page, "admin", "/users")
    glass.tab.get_by_role("button", name="Add a user").tap()
    dialog = glass.tab.get_by_role("dialog")
    assert "logged out" not in dialog.inner_text()  # nobody has that name yet
    dialog.get_by_label("Name").fill("kim")
    dialog.get_by_label("New password").fill("short")
    dialog.get_by_label("Role").select_option("quality")
    dialog.get_by_role("button", name="Add", exact=True).tap()
    assert dialog.is_visible()  # the browser itself says that it is too short
    dialog.get_by_label("New password").fill("one more long password")
    dialog.get_by_label("Reason").fill("shift B")
    dialog.get_by_role("button", name="Add", exact=True).tap()
    glass.sees("tbody tr", "kim")
    glass.open("/audit").sees("tbody tr", "shift B")


def test_korean_is_complete_and_fits(page, look) -> None:
    glass = look(page, "engineer", "/account")
    glass.tab.get_by_label("Language").select_option("ko")
    glass.sees("h1", "내 계정")
    try:
        assert glass.tab.locator("html").get_attribute("lang") == "ko"
        for path in PAGES["engineer"]:
            glass.open(path).sees("nav a", "이력")
            assert not glass.tab.evaluate(WIDER), path
    finally:
        assert glass.ask("POST", "/api/me/language", {"language": "en"}) == 200


DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.parametrize(("scheme", "language"), [("dark", "en"), ("light", "ko")])
def test_everybody_can_read_and_touch_every_page(page, look, scheme, language) -> None:
    """Contrast goes by the scheme, names by the language, what is too small or wide by glass and language."""
    for role, paths in PAGES.items():
        glass = look(page, role, scheme=scheme)
        assert glass.ask("POST", "/api/me/language", {"language": language}) == 200
        for path in (*paths, "/history?verdict=fail"):
            glass.open(path)
            glass.sees("tbody tr, .tile, .chart canvas, dl.facts, .hint")
            if path.endswith("fail"):
                glass.tab.locator("tbody a").last.tap()
                glass.sees(".verdict-line")
            assert glass.tab.locator("html").get_attribute("lang") == language
            assert serious(glass.tab) == [], path
            for size in (PANEL, TABLET):
                glass.tab.set_viewport_size(size)
                glass.tab.evaluate(DRAWN)
                assert glass.tab.evaluate(SMALL) == [], (path, size)
                assert not glass.tab.evaluate(WIDER), (path, size)
        assert glass.ask("POST", "/api/me/language", {"language": "en"}) == 200


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_everybody_can_log_in(page, chromium, scheme, language) -> None:
    with chromium.new_context(viewport=TABLET, color_scheme=scheme, locale=language) as context:
        tab = context.new_page()
        tab.goto(f"{page.origin}/login")
        assert tab.locator("html").get_attribute("lang") == language
        assert serious(tab) == []
        assert tab.evaluate(SMALL) == []
        assert not tab.evaluate(WIDER)


def test_the_keyboard_alone_reaches_what_there_is(page, look) -> None:
    glass = look(page, "viewer", "/history")
    glass.tab.keyboard.press("Tab")
    assert glass.tab.evaluate("document.activeElement.className") == "skip"
    glass.tab.keyboard.press("Enter")
    assert glass.tab.evaluate("document.activeElement.id") == "content"
    glass.tab.keyboard.press("Tab")
    assert glass.tab.evaluate("document.activeElement.innerText").startswith("Last hour")
