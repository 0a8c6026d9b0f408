"""Prometheus' own tools on the rules, and what every alert must have."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tools import run

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config/prometheus/rules/inspectd.yml"
RULE_TESTS = [
    yaml.safe_load(file.read_text()) for file in sorted(Path(__file__).parent.glob("rules_*_test.yml"))
]
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
NAMES = [alert["alert"] for alert in ALERTS]


def test_the_configuration_and_the_rules_are_valid() -> None:
    checked = run("promtool", "check", "config", str(ROOT / "config/prometheus/prometheus.yml"))
    assert checked.returncode == 0, checked.stdout
    assert "FAILED" not in checked.stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_when_it_must_and_only_then(name: str, tmp_path: Path) -> None:
    """Beside the recording rules alone: Prometheus' tool works out every rule of a file at every step."""
    groups = [group | {"rules": [rule for rule in group["rules"] if of(rule, name)]} for group in GROUPS]
    rules = {"groups": [group for group in groups if group["rules"]]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False))
    files = []
    for number, file in enumerate(RULE_TESTS):
        own = [test | {"alert_rule_test": asked} for test in file["tests"] if (asked := cases_of(name, test))]
        if own:
            files.append(tmp_path / f"{number}_test.yml")
            alone = file | {"rule_files": ["rules.yml"], "tests": own}
            files[-1].write_text(yaml.safe_dump(alone, sort_keys=False))
    tested = run("promtool", "test", "rules", *map(str, files))
    assert tested.returncode == 0, tested.stdout
    assert tested.stdout.count("SUCCESS") == len(files) > 0


def of(rule: dict[str, Any], name: str) -> bool:
    """Whether a rule has a say in that alert: no alert reads another one."""
    assert "ALERTS" not in rule["expr"]
    return "record" in rule or rule["alert"] == name


def cases_of(name: str, test: dict[str, Any]) -> list[dict[str, Any]]:
    """What a test asks of that alert."""
    return [case for case in test["alert_rule_test"] if case["alertname"] == name]


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_tested_both_ways(name: str) -> None:
    tests = [test for file in RULE_TESTS for test in file["tests"]]
    cases = [bool(case["exp_alerts"]) for test in tests for case in cases_of(name, test)]
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


def test_no_case_is_of_an_alert_that_is_not_there() -> None:
    asked = {
        case["alertname"] for file in RULE_TESTS for test in file["tests"] for case in test["alert_rule_test"]
    }
    assert asked == set(NAMES)
