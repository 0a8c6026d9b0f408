"""What persons ask a real line for through the page: recipes and golden checks, each with its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.changeovers import add_recipe
from support.daemon import Daemon, camera_table, settings
from support.page_process import PageProcess
from support.page_tab import Tab

from inspectd import page as page_package
from inspectd.recipes.audit import AuditSummary, newest_first, verify

pytestmark = pytest.mark.daemon

GOLDEN = """
[triggers]
max_delay_ms = 2000
[golden]
at_start = false
[[golden.parts]]
name = "good-1"
recipe = "cell"
expect = "pass"
cameras = ["free"]
"""


@pytest.fixture(scope="module")
def daemon(start_shared_daemon, stub_bank, small_good) -> Daemon:
    cameras = camera_table("free", small_good, fps=10)
    cameras += camera_table("top", small_good, fps=10, mode='"triggered"', slots=32)
    daemon = start_shared_daemon(settings(stub_bank, cameras, deadline_ms=3000, extra=GOLDEN)).ready()
    for number, name in ((1, "a"), (2, "b")):
        add_recipe(daemon.folder / "state", name, number, {"free": 0.5 + number, "top": 0.5 + number})
    return daemon


@pytest.fixture(scope="module")
def page(daemon, tmp_path_factory) -> Iterator[PageProcess]:
    recipes = f'recipes_dir = "{daemon.folder / "state" / "recipes"}"\n'
    process = PageProcess(tmp_path_factory.mktemp("page"), daemon.runtime_dir, line=recipes)
    yield process
    process.close()


@pytest.fixture
def act(page) -> Iterator[Callable[..., tuple[int, dict[str, Any]]]]:
    browsers: dict[str, Any] = {}

    def do(role: str, what: str, **body: Any) -> tuple[int, dict[str, Any]]:
        browser = browsers.setdefault(role, page.browser(role))
        answer = browser.post(f"/api/acts/{what}", json=body)
        return answer.status_code, answer.json()

    yield do
    page.close_browsers()


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def looked(page: PageProcess, path: str) -> dict[str, Any]:
    with page.browser("viewer") as browser:
        said: dict[str, Any] = browser.get(path).json()
    return said


def recipes(page: PageProcess) -> dict[str, str | None]:
    return {each["name"]: each["state"] for each in looked(page, "/api/recipes")["recipes"]}


def test_a_changeover_by_an_engineer_is_the_line_s_own_and_recorded_by_both(daemon, page, act) -> None:
    until(lambda: recipes(page) == {"a": None, "b": None, "file": "in_force"})
    status, said = act("engineer", "recipe_activate", recipe="a")
    assert (status, said["what"]) == (409, "not_prepared")
    assert act("engineer", "recipe_prepare", recipe="nothing")[1]["what"] == "unknown"
    assert act("engineer", "recipe_prepare", recipe="a", version=1, reason="new order")[0] == 200
    until(lambda: recipes(page)["a"] == "prepared")
    status, said = act("engineer", "recipe_activate", recipe="a", reason="order <b>7</b>\n")
    assert (status, said["answer"]["recipe"], said["answer"]["state"]) == (200, "a", "active")
    until(lambda: recipes(page)["a"] == "in_force")
    of_line = next(newest_first(daemon.folder / "state" / "audit.jsonl"))
    assert (of_line.action, of_line.who, of_line.why) == ("activate", "engineer", "order <b>7</b>\\u000a")
    trail = page.folder / "store" / "page-audit.jsonl"
    results = [(row["action"], row["result"][:8]) for row in page.audit()[-2:]]
    assert results == [("activate", "begun"), ("activate", "done")]
    assert isinstance(verify(trail), AuditSummary)
    refused = [row["result"] for row in page.audit() if row["object"] == "nothing"]
    assert refused[-1].startswith("refused: unknown")
    assert act("engineer", "recipe_unprepare", recipe="a")[1]["what"] == "in_force"


def test_who_may_not_changes_nothing(daemon, page, act) -> None:
    before = [record.seq for record in newest_first(daemon.folder / "state" / "audit.jsonl")]
    for role in ("viewer", "operator", "inspector", "quality", "admin"):
        assert act(role, "recipe_activate", recipe="file")[0] == 403
    assert [record.seq for record in newest_first(daemon.folder / "state" / "audit.jsonl")] == before


def test_who_may_go_back_gets_no_further_than_to_the_recipe_of_before(daemon, page, act) -> None:
    assert act("engineer", "recipe_prepare", recipe="b")[0] == 200
    until(lambda: recipes(page)["b"] == "prepared")
    before = [record.seq for record in newest_first(daemon.folder / "state" / "audit.jsonl")]
    status, said = act("quality", "recipe_rollback", recipe="b", version=1)
    assert (status, said["what"]) == (409, "not_before")
    assert "that was file" in said["error"]
    told = looked(page, "/api/recipes")
    assert (told["back_to"], told["went_back"]) == ({"recipe": "file", "version": 0}, False)
    assert [record.seq for record in newest_first(daemon.folder / "state" / "audit.jsonl")] == before
    for _ in range(2):  # two people at once: the second changes nothing
        assert act("quality", "recipe_rollback", recipe="file")[0] == 200
    until(lambda: recipes(page) == {"a": "prepared", "b": "prepared", "file": "in_force"})
    assert act("quality", "recipe_rollback", recipe="a", version=1)[1]["what"] == "not_before"
    told = looked(page, "/api/recipes")
    assert (told["back_to"], told["went_back"]) == (None, True)


def test_who_may_go_back_may_have_that_recipe_loaded_and_no_other(daemon, page, act) -> None:
    for name in ("a", "b"):
        assert act("engineer", "recipe_prepare", recipe=name)[0] == 200
        until(lambda name=name: act("engineer", "recipe_activate", recipe=name)[0] == 200)
        until(lambda name=name: recipes(page)[name] == "in_force")
    for name in ("a", "file"):  # as after a restart of the line, which loads what is in force alone
        assert act("engineer", "recipe_unprepare", recipe=name)[0] == 200
    until(lambda: recipes(page)["a"] is None)
    back = {"recipe": "a", "version": 1}
    assert act("quality", "recipe_rollback", **back)[1]["what"] == "not_prepared"
    other = act("quality", "recipe_rollback", recipe="file", version=0, loads=True)
    assert (other[0], other[1]["what"]) == (409, "not_prepared")
    status, said = act("quality", "recipe_rollback", **back, loads=True)
    assert (status, said["answer"]["state"]) == (200, "loading")
    until(lambda: recipes(page)["a"] == "prepared")
    assert act("quality", "recipe_rollback", **back)[1]["answer"]["state"] == "active"
    asked = [(row["action"], row["result"].partition(":")[0]) for row in page.audit()[-6:]]
    assert asked[1:4:2] == [("rollback", "refused"), ("prepare", "done")]
    assert act("engineer", "recipe_prepare", recipe="file")[0] == 200
    until(lambda: recipes(page).get("file") == "prepared")


def test_a_golden_check_by_an_operator(daemon, page, act) -> None:
    until(lambda: act("engineer", "recipe_activate", recipe="file")[0] == 200)
    until(lambda: recipes(page)["file"] == "in_force")
    status, said = act("operator", "golden_begin", recipe="cell", reason="shift")
    assert (status, said["answer"]["to_show"][0]["part"]) == (200, "good-1")
    assert act("operator", "golden_begin", recipe="cell")[1]["what"] == "busy"
    assert act("operator", "golden_show", part="good-1")[0] == 200
    until(lambda: looked(page, "/api/golden")["check"]["outcome"])
    check = looked(page, "/api/golden")["check"]
    assert (check["outcome"], check["shown"], check["last"]["agreement"]) == ("passed", 1, "agreed")
    assert act("operator", "golden_end")[1]["what"] == "no_check"
    until(lambda: looked(page, "/api/golden")["recipes"][0]["last"] == "passed")


def test_an_order_counts_from_its_beginning_and_outlives_the_page(page, act) -> None:
    assert act("operator", "order_begin", order="A-7 <i>")[0] == 200
    tab = Tab(page)
    tab.until(lambda: (tab.state.get("counts") or {}).get("order"))
    counted = tab.state["counts"]["order"]
    assert counted["name"] == "A-7 <i>"
    assert counted["parts"] < 40 < tab.state["counts"]["shift"]["parts"]
    tab.open.close()
    page.stop()
    page.start()
    assert act("viewer", "order_begin", order="B")[0] == 403
    assert (page.folder / "store" / "order.json").read_bytes().startswith(b'{"name":"A-7 <i>"')
    assert act("operator", "order_end", order="A-7 <i>")[0] == 200
    rows = [row for row in page.audit() if row["action"] == "order" and row["result"] == "done"]
    assert [(row["old"], row["new"]) for row in rows] == [(None, "A-7 <i>"), ("A-7 <i>", None)]


def test_nothing_that_the_page_sends_can_open_a_gate(daemon, page, act) -> None:
    """A gate opens for the pass of a trigger that it sent; the page sends none, whatever it is asked for."""
    for role in ("engineer", "operator"):
        for what in ("recipe_prepare", "recipe_activate", "golden_begin", "golden_show", "golden_end"):
            for body in ({"recipe": "b"}, {"part": "good-1"}, {"trigger_id": "1", "part_id": "1"}, {}):
                act(role, what, **body)
    page.close_browsers()
    daemon.reader.read(300)
    assert not daemon.reader.parts
    assert daemon.reader.heartbeats[-1].counts.triggers == 0
    sources = [path.read_text() for path in _sources()]
    assert len(sources) > 20
    assert not any("TriggerSender" in text or "TriggerRequest" in text for text in sources)


def _sources() -> list[Path]:
    return sorted(Path(page_package.__file__).parent.rglob("*.py"))


def test_a_line_that_is_away_says_so_and_the_record_does_too(daemon, page, act) -> None:
    daemon.process.kill()
    daemon.process.wait()
    status, said = act("engineer", "recipe_activate", recipe="b")
    assert (status, said["what"]) == (503, "unavailable")
    assert page.audit()[-1]["result"].startswith("not known: ")


def test_a_control_socket_of_another_line_is_not_acted_on(
    start_daemon, stub_bank, small_good, daemon, tmp_path
) -> None:
    cameras = camera_table("free", small_good, fps=5)
    text = settings(stub_bank, cameras, extra=GOLDEN).replace('name = "line"', 'name = "other"')
    other = start_daemon(text).ready()
    add_recipe(other.folder / "state", "a", 1, {"free": 1.5})
    page = PageProcess(
        tmp_path / "page", daemon.runtime_dir, line=f'control = "ipc://{other.runtime_dir}/control.sock"'
    )
    try:
        for role, what, body in (
            ("engineer", "recipe_prepare", {"recipe": "a"}),
            ("operator", "golden_begin", {}),
        ):
            answer = page.browser(role).post(f"/api/acts/{what}", json=body)
            assert (answer.status_code, answer.json()["what"]) == (409, "other_line")
            assert "test/other" in answer.json()["error"]
            assert page.audit()[-1]["result"].startswith("refused: other_line")
    finally:
        page.close()
