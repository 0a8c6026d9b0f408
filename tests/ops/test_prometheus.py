"""A real Prometheus reads the real daemon, and every panel and alert expression finds data there."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.changeovers import add_recipe, ask, begin_shadow, give_time
from support.ports import free_port

from inspectd.client import RecipeAction
from tests.support.daemon import WELL, Daemon, camera_table, settings
from tests.support.tools import run, tool
from tests.support.triggers import Plant

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "config/grafana/dashboards/line.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
RULES = yaml.safe_load((ROOT / "config/prometheus/rules/inspectd.yml").read_text())
VARIABLES = {"$line": "line", "$camera": "cam1|cam2", "$__rate_interval": "5s", "$__range": "30s"}
UNITS = {"none", "percentunit", "s", "cps", "bytes"}


class Prometheus:
    """A running Prometheus with the rules of this repository that scrapes one daemon every half second."""

    def __init__(self, folder: Path, target: str, job_settings: dict[str, Any] | None = None) -> None:
        configuration = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())
        configuration["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
        groups = [
            {key: value for key, value in group.items() if key != "interval"} for group in RULES["groups"]
        ]
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
        configuration["rule_files"] = ["rules.yml"]
        job, _beside = configuration["scrape_configs"]
        job["static_configs"] = [{"targets": [target]}]
        job |= job_settings or {}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self.address = f"127.0.0.1:{free_port()}"
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    tool("prometheus"),
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address={self.address}",
                ],
                stdout=log,
                stderr=log,
            )

    def get(self, path: str, **parameters: str) -> Any:
        """The answer of its HTTP API."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """What an expression gives now; NaN left out."""
        result = self.get("query", query=expression)
        samples = [result] if isinstance(result, list) else result["result"]
        numbers = [float(sample["value"][1]) for sample in samples]
        return [number for number in numbers if not math.isnan(number)]

    def until(self, expression: str, timeout_seconds: float = 30.0) -> None:
        """Wait until an expression gives a value."""
        end = time.monotonic() + timeout_seconds
        while not (self._answers() and self.values(expression)):
            assert time.monotonic() < end, f"no {expression}: {self.log.read_text()[-2000:]}"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


@pytest.fixture(scope="module")
def metrics_url(
    tmp_path_factory: pytest.TempPathFactory, stub_bank: Path, small_mixed: Path
) -> Iterator[str]:
    """The metrics of a line with a shadow; its parts pass, fail or cannot be judged; one was triggered."""
    port = free_port()
    cameras = "".join(camera_table(name, small_mixed, fps=5, shuffle_seed=1) for name in ("cam1", "cam2"))
    cameras += camera_table("eye", small_mixed, fps=5, mode='"triggered"')
    text = settings(
        stub_bank,
        cameras,
        metrics_port=port,
        extra="[triggers]\nwindow_ms = 2000\nmax_delay_ms = 2000\n[evidence]\nenabled = true\n",
    )
    daemon = Daemon(tmp_path_factory.mktemp("line"), text, behaviour=WELL)
    try:
        daemon.ready()
        plant = Plant(daemon)
        plant.trigger("t1")
        plant.part("t1")
        plant.close()
        add_recipe(daemon.folder / "state", "b", 2, dict.fromkeys(("cam1", "cam2", "eye"), 0.5))
        begin_shadow(daemon, "b")
        yield f"127.0.0.1:{port}"
    finally:
        daemon.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, metrics_url: str) -> Iterator[Prometheus]:
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), metrics_url)
    try:
        server.until('increase(inspectd_verdicts_total{evaluation="fail"}[5s]) > 0')
        server.until('increase(inspectd_verdicts_total{evaluation="pass"}[5s]) > 0')
        server.until("inspectd_evidence_bytes")
        server.until('increase(inspectd_shadow_frames_total{result="scored"}[5s]) > 0')
        yield server
    finally:
        server.close()


def exposition(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_promtool_finds_nothing_to_say_about_the_metrics(metrics_url: str) -> None:
    checked = run("promtool", "check", "metrics", stdin=exposition(metrics_url))
    assert (checked.returncode, checked.stdout) == (0, "")


def test_labels_are_bounded(metrics_url: str) -> None:
    """No label can grow with the number of parts."""
    checked = run("promtool", "check", "metrics", "--extended", stdin=exposition(metrics_url))
    cardinality = {line.split()[0]: int(line.split()[1]) for line in checked.stdout.splitlines()[1:-1]}
    assert max(cardinality.values()) < 100, cardinality


@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=[title for title, _ in QUERIES])
def test_a_panel_has_data(prometheus: Prometheus, title: str, expression: str) -> None:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    prometheus.until(expression)  # a rate has none where scrapes came late


def test_every_rule_is_evaluated_and_a_healthy_line_raises_no_alarm(prometheus: Prometheus) -> None:
    prometheus.until("line:inspectd_frames_unaccounted")
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {
        rule.get("alert", rule.get("record")) for group in RULES["groups"] for rule in group["rules"]
    }
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] == "err"] == []
    alerts = {
        alert["labels"]["alertname"]
        for alert in prometheus.get("alerts")["alerts"]
        if alert["state"] == "firing"
    }
    # Half of the parts here are defective on purpose; that takes minutes to fire. The watchdog always does.
    assert alerts == {"InspectdWatchdog"}


def test_alerts_fire_for_what_goes_wrong_with_recipes_and_golden_parts(
    tmp_path: Path, stub_bank: Path, small_good: Path
) -> None:
    port = free_port()
    golden = """
[golden]
grace_minutes = 0
[[golden.parts]]
name = "good-1"
recipe = "cell"
expect = "pass"
"""
    cameras = camera_table("cam1", small_good, fps=5)
    daemon = Daemon(tmp_path, settings(stub_bank, cameras, metrics_port=port, extra=golden), behaviour=WELL)
    server = None
    try:
        daemon.ready()
        server = Prometheus(tmp_path, f"127.0.0.1:{port}")
        server.until('inspectd_golden_recipes{state="overdue"} > 0')
        add_recipe(daemon.folder / "state", "odd", 1, {"cam1": 1.0}, of_key="another")
        ask(daemon, RecipeAction.PREPARE, "odd")
        ask(daemon, RecipeAction.SHADOW, "odd")
        give_time(daemon)
        daemon.until(lambda: daemon.reader.event("recipe_failed") and daemon.reader.event("shadow_failed"))
        daemon.file.write_text("[line")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until(lambda: daemon.reader.event("reload_refused"))
        for alert, state in (
            ("InspectdGolden", "firing"),
            ("InspectdRecipeFailed", "firing"),
            ("InspectdReloadRefused", "firing"),
            ("InspectdShadowDown", "pending"),  # for a minute
            ("InspectdHealth", "pending"),
        ):
            server.until(f'ALERTS{{alertname="{alert}", alertstate="{state}"}}')
    finally:
        if server is not None:
            server.close()
        daemon.close()


def test_every_metric_a_rule_names_is_one_that_is_there(prometheus: Prometheus) -> None:
    """An alert on a name nobody exports is silent for ever."""
    known = set(prometheus.get("label/__name__/values"))
    for page in ("page.md", "page_history.md"):  # their tables are held against the page's own metrics
        known |= set(re.findall(r"inspectd_page_\w+", (ROOT / "docs" / page).read_text()))
    fleet = (ROOT / "docs/fleet.md").read_text()  # and its tables against the forwarder's
    known |= set(re.findall(r"inspectd_(?:forward|fleet|nats)_\w+", fleet))
    known |= set(re.findall(r"inspectd_hub_\w+", (ROOT / "docs/hub.md").read_text()))
    for page in (ROOT / "docs/gateways").glob("*.md"):  # and theirs against the gateways'
        known |= set(re.findall(r"inspectd_(?:gateway|client)_\w+", page.read_text()))
    expressions = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    words = {word for text in [*expressions, *(expr for _, expr in QUERIES)] for word in names(text)}
    assert {word for word in words if word.startswith(("inspectd_", "process_"))} - known == set()


def names(expression: str) -> set[str]:
    plain = "".join(
        character if character.isalnum() or character in "_:" else " " for character in expression
    )
    return set(plain.split())


def test_the_dashboard_can_be_read_by_grafana() -> None:
    assert DASHBOARD["uid"] == "inspectd-line"
    assert DASHBOARD["schemaVersion"] >= 36
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["line", "camera"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= 24, panel["title"]


def test_panels_do_not_cover_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for cell in (
            (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
        ):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


def test_provisioning_names_what_the_dashboard_uses() -> None:
    provisioning = ROOT / "config/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    used = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert used == {source["uid"]}
    (provider,) = yaml.safe_load((provisioning / "dashboards/inspectd.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/inspectd"
