"""docs/fleet.md against the code it describes."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from inspectd.fleet.forward.metrics import Extra, ForwardMetrics, SessionEnd
from inspectd.fleet.names import ABOUT_HEADER, EXPECTED_HEADER, ID_HEADER, LineNames
from inspectd.fleet.settings import ForwardConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/fleet.md").read_text()
NAMES = LineNames("PLANT", "LINE")


def test_the_table_of_metrics_is_what_is_there() -> None:
    registry = CollectorRegistry()
    ForwardMetrics(registry)
    there = set()
    for family in registry.collect():
        if family.name.startswith("inspectd_"):
            there.add(family.name + ("_total" if family.type == "counter" else ""))
    text = PAGE.split("<!-- metrics: forward -->")[1].split("\n\n")[1]
    rows = [line.strip("|").split("|") for line in text.splitlines()[2:]]
    assert {name.strip(" `") for name, _ in rows} == there
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
    assert accounts.count("demo") == 6, "a block for each line, with its plant and line in six places"
