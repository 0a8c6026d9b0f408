"""`docs/gateways/sparkplug.md` names every metric that is told, with its type, in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from inspectd.gateways.sparkplug.metrics import SparkplugMetrics
from inspectd.gateways.sparkplug.names import CAMERA, NODE, PART, Told
from inspectd.gateways.sparkplug.payload import DataType

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/gateways/sparkplug.md").read_text()
TYPES = {
    DataType.INT32: "Int32", DataType.INT64: "Int64", DataType.DOUBLE: "Double",
    DataType.BOOLEAN: "Boolean", DataType.STRING: "String", DataType.DATE_TIME: "DateTime",
}  # fmt: skip


def rows(table: str) -> list[list[str]]:
    """The cells of a table's rows."""
    text = PAGE.split(f"<!-- metrics: {table} -->")[1].split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


@pytest.mark.parametrize(("table", "told"), [("node", NODE), ("part", PART), ("camera", CAMERA)])
def test_the_tables_are_what_is_told(table: str, told: tuple[Told, ...]) -> None:
    documented = [(name.strip("`"), kind) for name, kind, _ in rows(table)]
    assert documented == [(each.name, TYPES[each.datatype]) for each in told]


def test_the_table_of_prometheus_metrics_is_what_is_there() -> None:
    registry = CollectorRegistry()
    SparkplugMetrics(registry)
    there = {sample.name for family in registry.collect() for sample in family.samples}
    own = {name for name in there if name.startswith("inspectd_") and not name.endswith("_created")}
    assert {name.strip("`") for name, _ in rows("prometheus")} == own


def test_files_it_names_exist() -> None:
    for path in re.findall(r"(?<![\w/])systemd/[\w./@-]+", PAGE):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((\.\./[\w./-]+)", PAGE):
        assert (ROOT / "docs/gateways" / path).resolve().exists(), path


def test_the_page_says_that_it_is_for_no_gate() -> None:
    assert re.search(r"\*\*Never for a gate\.\*\*", PAGE)
