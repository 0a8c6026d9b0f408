"""Prometheus' own tools on the rules, and what every alert must have."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tools import run

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config/prometheus/rules/inspectd.yml"
RULE_TESTS = sorted(Path(__file__).parent.glob("rules_*_test.yml"))
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
NAMES = [alert["alert"] for alert in ALERTS]


def test_the_configuration_and_the_rules_are_valid() -> None:
    checked = run("promtool", "check", "config", str(ROOT / "config/prometheus/prometheus.yml"))
    assert checked.returncode == 0, checked.stdout
    assert "FAILED" not in checked.stdout


def test_every_alert_fires_when_it_must_and_only_then() -> None:
    tested = run("promtool", "test", "rules", *map(str, RULE_TESTS))
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_tested_both_ways(name: str) -> None:
    cases = [
        bool(case["exp_alerts"])
        for file in RULE_TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    assert set(cases) == ({True} if name == "InspectdWatchdog" else {True, False})


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_tells_a_person_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "none"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    page = (ROOT / alert["annotations"]["runbook_url"]).read_text()
    assert page.startswith(f"# {alert['alert']}\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## What it means",
        "## What to look at",
        "## What to do",
    ]


def test_no_page_is_left_without_its_alert() -> None:
    assert {page.stem for page in (ROOT / "docs/runbooks").glob("*.md")} == set(NAMES)
