"""What a person has the line do through the page, by touch: a changeover, and a check with golden parts."""

from __future__ import annotations

import pytest
from support.changeovers import checked_line
from support.daemon import Daemon

pytestmark = pytest.mark.system

PHONE = {"width": 390, "height": 844}
OFF_GLASS = """() => [...document.querySelectorAll("main button")].filter(each => {
  const at = each.getBoundingClientRect();
  return at.width && (at.left < 0 || at.right > innerWidth);
}).map(each => each.innerText)"""


@pytest.fixture(scope="module")
def changing(start_shared_daemon, stub_bank, good_folder) -> Daemon:
    return checked_line(start_shared_daemon, stub_bank, good_folder, part="good-1", expect="pass")


@pytest.mark.parametrize(("path", "button"), [("/golden", "Begin the check"), ("/recipes", "Prepare")])
def test_what_can_be_done_is_on_the_glass_of_a_phone(its_page, look, path, button) -> None:
    glass = look(its_page, "engineer", path, size=PHONE)
    glass.sees("main button", button)
    glass.shot(f"phone{path.replace('/', '-')}")
    assert glass.tab.evaluate(OFF_GLASS) == []


def test_an_operator_checks_the_line_with_a_golden_part(its_page, look) -> None:
    glass = look(its_page, "operator", "/golden")
    glass.tab.get_by_role("button", name="Begin the check").tap()
    glass.tab.get_by_role("button", name="good-1 lies before the cameras").tap()
    glass.sees(".golden-check h2", "Last check of cell: passed")
    glass.sees("tbody tr", "Passed")


def test_an_engineer_changes_over_and_nobody_else_is_offered_it(its_page, look) -> None:
    quality = look(its_page, "quality", "/recipes")
    quality.sees("tbody tr", "blue @ 1")
    assert quality.tab.locator("tbody button").count() == 0
    glass = look(its_page, "engineer", "/recipes")
    row = glass.tab.locator("tr", has_text="blue @ 1")
    for act in ("Prepare", "Put in force"):
        row.get_by_role("button", name=act).tap()
        glass.tab.get_by_role("dialog").get_by_label("Reason").fill("order 7")
        glass.tab.get_by_role("dialog").get_by_role("button", name=act).tap()
    glass.sees("tr.in_force", "blue @ 1")
    glass.open("/").sees(".facts", "blue @ 1 (7)")
    with quality.tab.expect_request("**/api/acts/recipe_rollback") as sent:
        quality.tab.get_by_role("button", name="Back to the recipes of the settings file").tap()
        dialog = quality.tab.get_by_role("dialog")
        dialog.get_by_label("Reason").fill("first parts rejected")
        dialog.get_by_role("button", name="Back to").tap()
    assert (sent.value.post_data_json["recipe"], sent.value.post_data_json["reason"]) == (
        "file",
        "first parts rejected",
    )
    quality.sees("tr.in_force", "cell (from the settings file)")
    quality.sees(".hint", "The last change went back already")
    assert quality.tab.locator("tbody button").count() == 0


def test_quality_goes_back_to_a_recipe_that_the_line_has_not_loaded(its_page, look) -> None:
    engineer = its_page.browser("engineer")

    def does(act: str, recipe: str) -> bool:
        return engineer.post(f"/api/acts/recipe_{act}", json={"recipe": recipe}).status_code == 200

    quality = look(its_page, "quality", "/recipes")
    quality.sees("tr.prepared", "blue @ 1")
    assert does("activate", "blue")
    assert does("unprepare", "file")  # as after a restart
    quality.sees("tr.in_force", "blue @ 1")
    quality.tab.locator("tr.prepared").wait_for(state="detached")
    quality.tab.get_by_role("button", name="Back to the recipes of the settings file").tap()
    dialog = quality.tab.get_by_role("dialog")
    dialog.get_by_role("button", name="Back to").tap()
    dialog.wait_for(state="detached")
    quality.sees("tr.in_force", "cell (from the settings file)")


def test_a_dialog_about_an_order_does_what_it_showed_or_nothing(its_page, look) -> None:
    glass, colleague = look(its_page, "operator"), its_page.browser("engineer")

    def colleague_does(act: str, name: str) -> None:
        assert colleague.post(f"/api/acts/order_{act}", json={"order": name}).status_code == 200

    glass.tab.get_by_role("button", name="Begin an order").tap()
    dialog = glass.tab.get_by_role("dialog")
    dialog.get_by_label("Order").fill("4711")
    colleague_does("begin", "4712")
    glass.sees(".counter h2", "4712")
    dialog.get_by_role("button", name="Begin an order").tap()
    glass.sees("dialog .problem", "Somebody began or ended an order meanwhile")
    dialog.get_by_role("button", name="Cancel").tap()
    glass.tab.get_by_role("button", name="End the order").tap()
    colleague_does("end", "4712")
    colleague_does("begin", "4713")
    glass.sees(".counter h2", "4713")
    glass.sees("dialog h2", "End order 4712?")
    dialog.get_by_role("button", name="End the order").tap()
    glass.sees("dialog .problem", "Somebody began or ended an order meanwhile")
    colleague_does("end", "4713")
