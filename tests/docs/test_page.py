"""docs/page.md against the code it describes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from inspectd.page.accounts.roles import ROLES, Act, Role
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.link import LineThreads
from inspectd.page.line.orders import OrderFile
from inspectd.page.listening import ConnectionBook
from inspectd.page.live.hub import LiveHub
from inspectd.page.metrics import PageCollector
from inspectd.page.settings import PageConfig, PageStore

TEXT = (Path(__file__).parents[2] / "docs/page.md").read_text()

ACTS = {
    "look: now, history, trends, recipes, golden checks, teaching": [Act.VIEW],
    "begin and end an order": [Act.ORDER],
    "golden checks": [Act.GOLDEN_BEGIN, Act.GOLDEN_SHOW, Act.GOLDEN_END],
    "export as CSV": [Act.EXPORT],
    "explain a part": [Act.EXPLAIN],
    "prepare, activate, unload recipes": [Act.RECIPE_PREPARE, Act.RECIPE_ACTIVATE, Act.RECIPE_UNPREPARE],
    "compare a recipe, put it in force": [Act.RECIPE_SHADOW, Act.RECIPE_UNSHADOW, Act.RECIPE_PROMOTE],
    "go back to the recipe that was in force before the last change": [Act.RECIPE_ROLLBACK],
    "mark a part as judged wrong": [Act.TEACH_MARK],
    "confirm or refuse what another person marked, withdraw": [Act.TEACH_CONFIRM, Act.TEACH_WITHDRAW],
    "build, cancel, propose a candidate": [Act.TEACH_BUILD, Act.TEACH_PROPOSE],
    "try a candidate again": [Act.TEACH_REPORT],
    "approve a candidate, vouch, withdraw a known defect": [
        Act.TEACH_APPROVE, Act.TEACH_VOUCH, Act.TEACH_WITHDRAW_ESCAPE,
    ],
    "read the page's audit file": [Act.AUDIT],
    "users and sessions": [Act.USERS, Act.SESSIONS],
}  # fmt: skip


def rows(heading: str) -> list[list[str]]:
    lines = TEXT[TEXT.index(f"| {heading} |") :].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[: lines.index("")]]


def seconds(text: str) -> float:
    number, unit = text.split()
    return int(number) * {"days": 86_400, "h": 3600, "min": 60}[unit]


def test_the_table_of_roles_is_the_code_s() -> None:
    head, _, *table = rows("Act")
    roles = [Role(name) for name in head[1:]]
    *acts, idle, session = table
    assert {each for found in ACTS.values() for each in found} == set(Act)
    assert [row[0] for row in acts] == list(ACTS)
    for column, role in enumerate(roles, 1):
        said = {each for row in acts if row[column] == "yes" for each in ACTS[row[0]]}
        assert said == ROLES[role].acts, role
        assert seconds(idle[column]) == ROLES[role].idle_seconds
        assert seconds(session[column]) == ROLES[role].session_seconds


def test_every_metric_is_in_the_table(tmp_path) -> None:
    settings = PageConfig(store=PageStore(dir=str(tmp_path)))
    counts: Counter[tuple[str, str]] = Counter()
    hub = LiveHub(settings, PartCounts(), OrderFile(tmp_path))
    line = LineThreads(
        settings.line, PartCounts(), on_messages=print, on_status=print, on_preview=print, wanted=frozenset
    )
    found = PageCollector(counts, hub=hub, line=line, book=ConnectionBook(1, counts))
    made = {
        metric.name + ("_total" if metric.type == "counter" else ""): (
            metric.type, {label for sample in metric.samples for label in sample.labels},
        )
        for metric in found.collect()
    }  # fmt: skip
    listed = {
        name.strip("`"): (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _ in rows("Metric")[2:]
    }
    assert listed == made


def test_files_it_names_exist() -> None:
    root = Path(__file__).parents[2]
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (root / "docs" / link).exists(), link
    for file in re.findall(r"`(systemd/[^`]+)`", TEXT):
        assert (root / file).exists(), file
