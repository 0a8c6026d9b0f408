"""The hub's pages: who may look, what is said, and what people see, with hostile names in the verdicts."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from playwright.sync_api import Browser
from support.glass import PANEL, TABLET, Glass, launched
from support.hub_lines import send, send_raw, some, until
from support.hub_process import HubProcess
from support.nats_cluster import NatsCluster
from support.page_process import PASSWORD

from inspectd.wire import Evaluation, Reason

pytestmark = pytest.mark.system  # NATS is no part of the project

HOSTILE = "<img src=x onerror=document.title='hacked'>"
FAIL = {"evaluation": Evaluation.FAIL, "reason": Reason.ABOVE_THRESHOLD, "score": 3.5}


def report(cluster: NatsCluster, line: str) -> None:
    """Say what a line runs, as its agent does, after another's words in its stream."""
    said = {
        "schema": "fleet_report/1", "plant": "test", "line": line, "at_utc_ns": time.time_ns(),
        "state": "refused", "why": "", "recipe": "seam", "version": 3, "bank_sha256": {"seam@3": "cd" * 32},
        "wanted_serial": 7, "wanted_recipe": "seam2", "refusal": HOSTILE,
    }  # fmt: skip
    send_raw(cluster, line, f"i1.test.{line}.run", json.dumps(said).encode(), {})


def set_back_report(hub: HubProcess, line: str, ms: int) -> None:
    """As if a line's agent had died so long ago."""
    with closing(sqlite3.connect(hub.folder / "hub.sqlite")) as file:
        file.execute("UPDATE line SET report_ms = report_ms - ? WHERE name = ?", (ms, line))
        file.commit()


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[HubProcess]:
    """A hub over two lines that have sent verdicts, one of them just now."""
    with ExitStack() as open_now:
        cluster = NatsCluster(tmp_path_factory.mktemp("nats"), ("press", "weld"))
        open_now.callback(cluster.close)
        cluster.start()
        cluster.make_streams()
        folder = tmp_path_factory.mktemp("hub")
        zone = '[view]\nzone = "Asia/Seoul"\n'
        process = HubProcess(folder, cluster, f"sqlite:///{folder}/hub.sqlite", zone, silent=3600)
        open_now.callback(process.close)
        now = time.time_ns() // 1_000_000
        send(cluster, "press", some("press", 150, at_ms=now))
        send(cluster, "weld", some("weld", 6, at_ms=now, part_id=HOSTILE, recipe="seam", **FAIL))
        send_raw(cluster, "press", "i1.test.press.v.1.x", b"{}", {})
        report(cluster, "weld")
        process.start()
        viewer = process.browser("viewer")

        def running() -> list[str]:
            found = viewer.get("/api/fleet").json()
            return [line["line"] for line in found.get("lines", []) if line["state"] == "running"]

        until(lambda: running() == ["press", "weld"])
        until(lambda: viewer.get("/api/fleet").json()["lines"][1]["report"])
        yield process


def test_nothing_is_shown_to_who_is_not_logged_in(hub) -> None:
    nobody = hub.browser()
    for path in (
        "/api/fleet", "/api/names", "/api/line", "/api/verdicts", "/api/verdicts.csv", "/api/trends",
        "/api/lines/weld/verdicts/1/1",
    ):  # fmt: skip
        assert (nobody.get(path).status_code, path) == (401, path)
    assert nobody.get("/").headers["location"] == "/login"
    login = nobody.post("/login", data={"name": "viewer", "password": PASSWORD})
    assert (login.status_code, login.headers["location"]) == (303, "/")
    assert "require-trusted-types-for" in nobody.get("/").headers["content-security-policy"]
    assert nobody.get("/api/fleet").status_code == 200


def test_a_viewer_looks_and_an_inspector_exports(hub) -> None:
    viewer, inspector = hub.browser("viewer"), hub.browser("inspector")
    lines = viewer.get("/api/fleet").json()["lines"]
    assert [(line["line"], line["day"]["n"], line["foreign"]) for line in lines] == [
        ("press", 150, 1),
        ("weld", 6, 0),
    ]
    assert lines[1]["hour"] == {"kind": "frame", "n": 6, "fail": 6, "undecidable": 0}
    said = lines[1]["report"]
    assert (said["recipe"], said["version"], said["bank"], said["state"]) == (
        "seam",
        "3",
        "cd" * 8,
        "refused",
    )
    names = viewer.get("/api/names").json()
    assert (names["lines"], names["recipes"]) == (["press", "weld"], ["cells", "seam"])
    assert viewer.get("/api/verdicts.csv").status_code == 403
    given = inspector.get("/api/verdicts.csv", params={"part_id": HOSTILE})
    assert given.headers["content-type"].startswith("text/csv")
    rows = [*csv.DictReader(io.StringIO(given.text))]
    assert [(row["line"], row["part_id"]) for row in rows] == [("weld", HOSTILE)] * 6
    whole = [*csv.DictReader(io.StringIO(inspector.get("/api/verdicts.csv").text))]
    assert (len(whole), whole[0]["decided"][-6:]) == (156, "+09:00")
    assert viewer.get("/api/verdicts", params={"line": "weld", "limit": "4"}).json()["next"] is not None
    assert viewer.get("/api/verdicts", params={"score_min": "1"}).json()["what"] == "filter"
    assert "export" in (hub.folder / "store" / "page-audit.jsonl").read_text()


def test_a_verdict_has_every_number(hub) -> None:
    viewer = hub.browser("viewer")
    row = viewer.get("/api/verdicts", params={"line": "weld"}).json()["rows"][0]
    found = viewer.get(f"/api/lines/weld/verdicts/{row['epoch']}/{row['seq']}").json()
    assert found["all"]["part_id"] == HOSTILE
    assert found["all"]["decided_utc_ns"].isdigit()
    assert viewer.get(f"/api/lines/press/verdicts/{row['epoch']}/9999").json()["what"] == "not_kept"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


def test_where_no_line_sends_anything_no_green_tick_stands_over_it(hub, chromium, tmp_path) -> None:
    quiet = HubProcess(tmp_path, hub.cluster, f"sqlite:///{tmp_path}/hub.sqlite")
    with closing(quiet), Glass(chromium, quiet.start(), "inspector", size=PANEL) as glass:
        glass.open("/")
        glass.sees(".band.check", "none sends verdicts now")


@pytest.mark.parametrize("size", [TABLET, PANEL], ids=["tablet", "panel"])
def test_what_people_see(hub, chromium, size, tmp_path) -> None:
    with Glass(chromium, hub, "inspector", size=size) as glass:
        glass.open("/")
        glass.sees(".band.ok", "2 of them send verdicts now")
        assert re.search(r"24 h \(since \d{4}-\d\d-\d\d \d\d:\d\d\)", glass.text("thead"))
        glass.sees("tr:has-text('press') .state.running")
        assert "none of its verdicts: 1 messages" in glass.text("tr:has-text('press')")
        glass.tab.locator("details.said.wrong summary").tap()
        glass.sees("details.said", HOSTILE)
        glass.tab.screenshot(path=tmp_path / "lines.png")
        assert glass.tab.locator(".table").evaluate("table => table.scrollWidth - table.clientWidth") == 0
        set_back_report(hub, "weld", 21 * 86_400_000)
        glass.sees("details.said.wrong summary", "no report since")
        assert "refuses what is wanted" in glass.text("details.said.wrong small")
        glass.tab.locator("tr:has-text('weld') a").first.tap()
        glass.sees("tbody tr", HOSTILE)
        assert glass.tab.locator("tbody tr").count() == 6
        glass.tab.get_by_label("Verdict").select_option("pass")
        glass.sees("p.hint", "Nothing fits")
        glass.tab.get_by_role("button", name="press").tap()
        glass.tab.wait_for_function("() => document.querySelectorAll('tbody tr').length === 100")
        glass.tab.get_by_label("Part id").fill(HOSTILE)
        glass.tab.get_by_label("Part id").press("Tab")
        glass.sees("p.hint", "Nothing fits")
        glass.tab.get_by_role("button", name="Clear filters").tap()
        glass.tab.get_by_role("button", name="press").tap()
        glass.sees("tbody tr", HOSTILE)
        glass.tab.screenshot(path=tmp_path / "history.png")
        glass.tab.locator("tbody a").first.tap()
        glass.sees(".verdict-line", "FAIL")
        glass.sees("dl.facts", HOSTILE)
        glass.tab.screenshot(path=tmp_path / "verdict.png")
        glass.open("/trends")
        glass.sees(".chart canvas")
        glass.tab.screenshot(path=tmp_path / "trends.png")
        assert "hacked" not in glass.tab.title()
