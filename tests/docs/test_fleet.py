"""docs/fleet.md against the code it describes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from inspectd.fleet.agent.metrics import AgentMetrics, Attempt
from inspectd.fleet.agent.order import Refusal
from inspectd.fleet.agent.report import AgentState, FleetReport
from inspectd.fleet.forward.metrics import Extra, ForwardMetrics, SessionEnd
from inspectd.fleet.names import ABOUT_HEADER, EXPECTED_HEADER, ID_HEADER, LineNames, PlantNames
from inspectd.fleet.settings import ForwardConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/fleet.md").read_text()
NAMES = LineNames("PLANT", "LINE")


@pytest.mark.parametrize(("kind", "metrics"), [("forward", ForwardMetrics), ("fleet", AgentMetrics)])
def test_the_table_of_metrics_is_what_is_there(kind: str, metrics: type) -> None:
    registry = CollectorRegistry()
    metrics(registry)
    there = set()
    for family in registry.collect():
        if family.name.startswith("inspectd_"):
            there.add(family.name + ("_total" if family.type == "counter" else ""))
    text = PAGE.split(f"<!-- metrics: {kind} -->")[1].split("\n\n")[1]
    rows = [line.strip("|").split("|") for line in text.splitlines()[2:]]
    assert {name.strip(" `") for name, _ in rows} == there
    if kind == "fleet":
        return
    said = {name.strip(" `"): set(re.findall(r"`(\w+)`", about)) for name, about in rows}
    assert {*SessionEnd} <= said["inspectd_forward_sessions_ended_total"]
    assert {*Extra} <= said["inspectd_forward_extras_total"]


def test_names_are_those_of_the_code() -> None:
    for name in (
        NAMES.stream,
        NAMES.extras_stream,
        NAMES.inbox,
        NAMES.base,
        ABOUT_HEADER,
        EXPECTED_HEADER,
        ID_HEADER,
    ):
        assert name in PAGE


def test_settings_it_names_exist() -> None:
    tables = ForwardConfig()
    own = {field for table in (tables.servers, tables.forward) for field in table.__struct_fields__}
    told = "window compare_minutes extras_per_second extras_mb acknowledge_seconds seed_file credentials_file"
    for name in told.split():
        assert name in own
        assert f"{name}`" in PAGE


def test_files_it_names_exist() -> None:
    for path in re.findall(r"(?<![\w/.])(?:systemd|config|tools)/[\w./@-]+", PAGE):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w./-]+)[)#]", PAGE):
        assert (ROOT / "docs" / path).exists(), path


def test_users_and_limits_are_those_of_the_servers_files() -> None:
    accounts = (ROOT / "config/nats/accounts.conf").read_text()
    example = LineNames("demo", "line1")
    for wanted in (
        f'"{example.base}.>"', f'"{example.inbox}.>"', f'"$JS.API.STREAM.INFO.{example.stream}"',
        f'"$JS.API.STREAM.MSG.GET.{example.stream}"', f'"$JS.API.STREAM.INFO.{example.extras_stream}"',
    ):  # fmt: skip
        assert accounts.count(wanted) == 1
    agent = accounts.split("The agent of the line demo/line1")[1].split("} }")[0]
    plant = PlantNames("demo")
    for wanted in (
        f'"{example.report}"', f'"{example.agent_inbox}.>"', f'"{plant.desired("line1")}"',
        f'"$JS.API.DIRECT.GET.{plant.desired_stream}.{plant.desired("line1")}"',
        f'"$JS.API.DIRECT.GET.{plant.banks_stream}.{plant.chunk("*", None)}"',
    ):  # fmt: skip
        assert agent.count(wanted) == 1
    assert agent.count('"') == 10, "nothing else"


def test_the_report_has_the_fields_that_the_page_names() -> None:
    table = PAGE.split("<!-- struct: FleetReport -->\n\n")[1].split("\n\n")[0]
    named = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    said = [name for cell in named for name in re.findall(r"`(\w+)`", cell)]
    assert said == ["schema", *FleetReport.__struct_fields__]
    assert set(re.findall(r"`(\w+)` \(", table)) | {"waiting", "fetching", "importing", "activating"} >= {
        *AgentState
    }


def test_refusals_and_states_are_those_of_the_code() -> None:
    for each in (*Refusal, *Attempt):
        assert f"`{each}`" in PAGE
