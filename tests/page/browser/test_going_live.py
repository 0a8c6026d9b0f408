"""The way of an approved recipe into force and back, by touch, while others change recipes too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.changeovers import add_recipe, ask, begin_shadow, prepare
from support.daemon import Daemon, camera_table, settings
from support.glass import TABLET, Glass

from inspectd.client import RecipeAck, RecipeAction, ask_status
from inspectd.scoring.stub import Behaviour

pytestmark = pytest.mark.system

CANDIDATE = "ab" * 32
NO_SHARE = {"count": 0, "total": 0, "share": 0, "low": 0, "high": 1}
NO_FLIPS = {"kept": 0, "judged": None, "to_fail": NO_SHARE, "to_pass": NO_SHARE}
REPORT = {
    "bank_sha256": CANDIDATE, "recipe": "blue", "recipe_version": 0, "place": "top", "threshold_before": 1,
    "threshold": 1.5, "taught": [], "unlike_the_rest": [], "flips": [], "passes_by_chance": NO_FLIPS,
    "other_passes": NO_FLIPS, "passes_to_fail": 1.0, "fails": NO_FLIPS, "golden_wrong_before": 0,
    "golden_wrong": 0, "golden": 0, "known_defects": [], "effects": None, "left_out": {}, "needs": [],
    "notes": ["threshold 1.2 of the recipe is left out: the scores of another bank have another scale",
              "/srv/drawn.png: cannot be read: Permission denied"],
}  # fmt: skip

CANDIDATE_FACTS: dict[str, Any] = {
    "bank_sha256": CANDIDATE, "recipe": "blue", "recipe_version": 0, "place": "top", "threshold_before": 1,
    "threshold": 1.5, "taught": [], "unlike_the_rest": [], "rise": None, "has_report": True,
    "built_by": "eva", "built_ms": 0, "proposed_by": "eva", "proposed_why": "", "second_why": "",
    "approved_by": "quinn", "version": "blue@1",
}  # fmt: skip


@pytest.fixture(scope="module")
def changing(start_shared_daemon, stub_bank, good_folder) -> Daemon:
    daemon = start_shared_daemon(
        settings(stub_bank, camera_table("top", good_folder, fps=5), deadline_ms=3000)
    ).ready()
    add_recipe(daemon.folder / "state", "blue", 7, {"top": 1.5})
    return daemon


def in_force(daemon: Daemon) -> str:
    return str(ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").in_force)


def told_by_the_desk(
    glass: Glass, back_to: Callable[[], dict[str, Any] | None], version: str = "blue@1"
) -> None:
    """What a teaching desk would say of an approved candidate; line and page are real."""
    candidate = {**CANDIDATE_FACTS, "version": version}
    watch = {"from_ms": 0, "to_ms": 1, "judged": 0, "fail": 0, "low": 0, "high": 1}

    def facts() -> dict[str, Any]:
        return {
            "cases": [], "cases_in_all": 0, "candidates": [candidate], "job": None, "recipes": [],
            "back_to": back_to(),
        }  # fmt: skip

    glass.tab.route("**/api/teach", lambda route: route.fulfill(json=facts()))
    glass.tab.route("**/api/teach/reports/*", lambda route: route.fulfill(json=REPORT))
    told = {"before": watch, "since": watch, "result": "too_few", "fewest": 100}
    glass.tab.route("**/api/watch?*", lambda route: route.fulfill(json=told))


def test_a_candidate_shows_what_it_waits_for_and_how_its_building_goes(its_page, look) -> None:
    case = {
        "part_is": "good", "place": "top", "recipe": "blue", "recipe_version": 1, "score": 2, "threshold": 1,
        "is_unusual": False, "judged_ms": 1_800_000_000_000, "picture": "cd" * 32, "state": "confirmed",
        "marked_by": "olga", "marked_ms": 0, "marked_why": "", "decided_by": "ivan", "decided_ms": 0,
        "decided_why": "", "vouched_by": "", "vouched_why": "",
    }  # fmt: skip
    cases = [{**case, "id": "7-1"}, {**case, "id": "7-2"}]
    candidate = {**CANDIDATE_FACTS, "unlike_the_rest": ["7-1"], "proposed_by": "", "version": ""}
    jobs: list[dict[str, Any]] = []

    def facts(route: Any) -> None:
        recipes = [{"recipe": "blue", "version": 1, "camera": "top", "is_kept": True}]
        told = {"cases": cases, "cases_in_all": len(cases), "candidates": [candidate], "recipes": recipes}
        route.fulfill(json={**told, "job": jobs[-1] if jobs else None, "back_to": None})

    def glass_of(role: str) -> Glass:
        glass = look(its_page, role)
        glass.tab.route("**/api/teach", facts)
        glass.tab.route("**/api/teach/reports/*", lambda route: route.fulfill(json=REPORT))
        glass.tab.route("**/api/teach/pictures/*", lambda route: route.fulfill(body=""))
        glass.tab.route(
            "**/api/line", lambda route: route.fulfill(json={**route.fetch().json(), "has_teaching": True})
        )
        return glass

    quality = glass_of("quality")
    quality.open("/teach").tab.get_by_label("Show").select_option("confirmed")
    vouch = quality.tab.get_by_role("button", name="Vouch for it")
    quality.sees("article.case")
    assert vouch.count() == 1
    quality.open(f"/teach/{CANDIDATE}").sees(".sign .notice", "quality vouches for each")
    quality.sees(".sign article", "2027-01-15")
    quality.sees("[role=note] li:first-of-type", "threshold 1.2 of the recipe is left out")
    assert quality.ask("POST", "/api/me/language", {"language": "ko"}) == 200
    try:
        quality.open(f"/teach/{CANDIDATE}").sees("[role=note]", "레시피의 threshold 1.2")
        quality.sees("[role=note]", "/srv/drawn.png: 읽을 수 없습니다: 권한이 없습니다")
    finally:
        assert quality.ask("POST", "/api/me/language", {"language": "en"}) == 200
    quality.open(f"/teach/{CANDIDATE}").sees(".sign .notice", "quality vouches for each")
    early = glass_of("engineer").open(f"/teach/{CANDIDATE}")
    early.sees(".sign .hint", "Quality has to vouch first")
    assert early.tab.get_by_role("button", name="Propose it").is_disabled()
    early.open("/teach").sees("tbody button:not(:disabled)", "Build a candidate")
    known, cases[:] = [*cases], []
    early.open("/teach").sees("tbody .hint", "No confirmed part is new")
    assert early.tab.get_by_role("button", name="Build a candidate").is_disabled()
    cases[:] = known
    quality.shot("candidate-vouch")
    quality.tab.set_viewport_size({"width": 390, "height": 844})
    quality.shot("candidate-phone")
    assert quality.tab.evaluate("() => document.querySelector('main').scrollWidth <= innerWidth")
    quality.tab.set_viewport_size(TABLET)
    vouch.tap()
    quality.sees("dialog", "Sign that the part is good all the same")
    cases[0]["vouched_by"] = "quinn"
    quality.open(f"/teach/{CANDIDATE}").sees(".sign article", "Vouched for by quinn")
    assert vouch.count() + quality.tab.locator(".sign .notice").count() == 0
    engineer = glass_of("engineer").open(f"/teach/{CANDIDATE}")
    engineer.sees("button", "Propose it")
    candidate["proposed_by"] = "engineer"
    engineer.open(f"/teach/{CANDIDATE}").sees(".sign", "Proposed by engineer")
    assert engineer.tab.get_by_role("button", name="Propose it").count() == 0

    def build(route: Any) -> None:
        job = {"kind": "build", "about": "blue, top", "who": "engineer", "state": "running", "began_ms": 0}
        jobs.append({**job, "ended_ms": None, "step": "images", "done": 1, "total": 9, "detail": "",
                     "candidate": None})  # fmt: skip
        route.fulfill(json={"ok": True, "answer": None})

    engineer.tab.route("**/api/acts/teach_build", build)
    engineer.tab.route("**/api/teach/job", lambda route: route.fulfill(json={"job": jobs[-1]}))
    cases += [{**case, "id": f"8-{number}", "state": "marked"} for number in range(40)]
    engineer.open("/teach").tab.get_by_role("button", name="Build a candidate").tap()
    engineer.tab.get_by_role("dialog").get_by_role("button", name="Build a candidate").tap()
    engineer.tab.wait_for_function("""() => {
      const at = document.querySelector('.job.running')?.getBoundingClientRect();
      return at && at.top >= 0 && at.bottom <= innerHeight;
    }""")  # the button was far below it
    engineer.tab.get_by_role("button", name="Cancel the work").tap()
    engineer.sees("dialog button", "Let it go on")
    assert engineer.tab.get_by_role("dialog").get_by_role("button", name="Cancel").count() == 1


def asked(glass: Glass, act: str) -> list[Any]:
    """Bodies of what the tab asked for, as they are sent."""
    found: list[Any] = []
    glass.tab.on(
        "request",
        lambda request: found.append(json.loads(request.post_data)) if request.url.endswith(act) else None,
    )
    return found


def test_of_two_who_go_back_at_once_neither_puts_the_bad_recipe_in_force_again(
    changing, its_page, look
) -> None:
    prepare(changing, "blue")
    assert isinstance(ask(changing, RecipeAction.ACTIVATE, "blue"), RecipeAck)
    glass = look(its_page, "quality")
    known = {"recipe": "file", "version": 0, "now": "blue@1", "since_ms": 0, "by": "eva", "action": "promote"}
    back_to = [known]
    told_by_the_desk(glass, lambda: back_to[-1])
    sent = asked(glass, "recipe_rollback")
    glass.open(f"/teach/{CANDIDATE}").sees(".watch", "Too few parts")
    glass.tab.get_by_role("button", name="Back to file").tap()
    # A colleague is quicker: from now on "before" means the bad one.
    assert isinstance(ask(changing, RecipeAction.ROLLBACK, "file"), RecipeAck)
    back_to.append({**known, "recipe": "blue", "version": 1, "now": "file@0", "action": "rollback"})
    glass.sees(".live", "Not in force")
    dialog = glass.tab.get_by_role("dialog")
    dialog.get_by_role("button", name="Back to file").tap()
    dialog.wait_for(state="detached")
    assert [(body["recipe"], body["version"]) for body in sent] == [("file", 0)]
    assert in_force(changing) == "file"


def test_cancel_while_the_line_loads_a_recipe_keeps_it_out_of_force(changing, its_page, look) -> None:
    add_recipe(changing.folder / "state", "green", 8, {"top": 1.6})
    begin_shadow(changing, "green")
    glass = look(its_page, "engineer")
    told_by_the_desk(glass, lambda: None, version="green@1")
    sent = asked(glass, "recipe_promote")
    glass.open(f"/teach/{CANDIDATE}").sees(".live", "Compared since")
    changing.behave(Behaviour(load_seconds=3))
    changing.reader.events.clear()
    glass.tab.get_by_role("button", name="Put green @ 1 in force").tap()
    dialog = glass.tab.get_by_role("dialog")
    dialog.get_by_role("button", name="Put green @ 1 in force").tap()
    glass.sees("dialog", "The line loads the recipe.")
    dialog.get_by_role("button", name="Cancel").tap()
    dialog.wait_for(state="detached")
    changing.until(lambda: changing.reader.event("recipe_prepared"))
    states: dict[str, str] = {}
    for _ in range(15):  # the page looks, every two seconds, and sees that it is loaded by now
        with glass.tab.expect_response("**/api/recipes") as looked:
            pass
        states = {each["name"]: each["state"] for each in looked.value.json()["recipes"]}
        if states["green"] == "prepared":
            break
    assert (states["green"], states["file"]) == ("prepared", "in_force")
    assert (len(sent), in_force(changing)) == (1, "file")


def test_how_a_comparison_began_and_ended_is_said_in_the_page_s_language(changing, its_page, look) -> None:
    """Without the id of the request that asked for it, which is for programs."""
    add_recipe(changing.folder / "state", "teal", 10, {"top": 1.6})
    glass = look(its_page, "engineer")
    assert glass.ask("POST", "/api/me/language", {"language": "ko"}) == 200
    try:
        glass.open("/recipes")
        begin_shadow(changing, "teal")
        glass.sees("main", "비교 시작 · teal@1: file 레시피와 비교하며 점수를 계산합니다(stub)")
        assert ask(changing, RecipeAction.UNSHADOW, "teal").state == "unloaded"
        glass.sees("main", "비교 종료 · teal@1: 종료, ")
        glass.sees("main", "점수를 계산했습니다. 합격 중 ")
    finally:
        assert glass.ask("POST", "/api/me/language", {"language": "en"}) == 200


def test_pictures_that_the_compared_version_could_not_judge_are_said(changing, its_page, look) -> None:
    add_recipe(changing.folder / "state", "grey", 9, {"top": 1.6})
    changing.behave(Behaviour(image_sizes=((1, 1),)))  # of what is loaded now
    begin_shadow(changing, "grey")
    changing.behave(Behaviour())
    glass = look(its_page, "engineer")
    told_by_the_desk(glass, lambda: None, version="grey@1")
    glass.open(f"/teach/{CANDIDATE}").sees(".live", "It could not judge")
