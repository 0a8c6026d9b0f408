"""docs/gateways/opcua.md against the gateway: its node table is what clients were written by."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from asyncua import ua
from prometheus_client import generate_latest
from support.opcua import LINE, OpcUaGateway

from inspectd.gateways import metrics
from inspectd.gateways.opcua import guarded, guarded_items, guarded_sessions
from inspectd.gateways.opcua.audit import PlantAudit
from inspectd.gateways.opcua.certificates import MOST_REJECTED
from inspectd.gateways.opcua.journal import MOST_LOOKED_THROUGH
from inspectd.gateways.opcua.metrics import OpcUaCollector
from inspectd.gateways.opcua.settings import OpcUaSettings, PlantRole
from inspectd.gateways.opcua.vision import (
    MOST_UNDECIDED,
    AutomaticState,
    MachineState,
    MethodError,
    VisionSystem,
)
from inspectd.gateways.parts import GRACE_SECONDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gateways" / "opcua.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.daemon
def test_the_node_table_is_what_the_server_has(tmp_path) -> None:
    gateway = OpcUaGateway(tmp_path, tmp_path / "nowhere")

    async def find() -> dict[str, str]:
        client = await gateway.client("eye")
        found: dict[str, str] = {}

        async def look(node) -> None:
            name = node.nodeid.Identifier
            kind = await node.read_node_class()
            is_of_type = re.search(r"(Arguments|CurrentState|\.Id|StateNumber)$", str(name))
            if isinstance(name, str) and not is_of_type:
                found[name.replace(LINE, "line1", 1)] = kind.name
            for child in await node.get_children():
                await look(child)

        await look(client.at())
        assert await client.at("Health.Heartbeat").read_data_type_as_variant_type() is ua.VariantType.UInt32
        for name, _, kind in rows("NodeId (`s=`)"):
            if kind in ua.VariantType.__members__:
                node = client.at(name.removeprefix("line1."))
                assert (await node.read_data_type_as_variant_type()).name == kind, name
        await client.disconnect()
        return found

    try:
        found = asyncio.run(find())
    finally:
        gateway.stop()
    states = {f"line1.VisionStateMachine.{state}" for state in MachineState}
    listed = {name: kind for name, _, kind in rows("NodeId (`s=`)")}
    assert {*listed} == {*found} - states
    methods = {name for name, kind in listed.items() if kind.startswith("method, ")}
    assert methods == {name for name, kind in found.items() if kind == "Method"}
    assert {kind.removeprefix("method, ") for kind in listed.values() if "method" in kind} < {*PlantRole}


def test_states_errors_and_roles_are_those_of_the_code() -> None:
    assert {name for name, _ in rows("VisionStateMachine")} == {*MachineState}
    assert {name for name, _ in rows("AutomaticModeStateMachine")} == {*AutomaticState}
    assert [int(number) for number, _ in rows("Error | Meaning")] == [*MethodError]
    assert [name for name, _ in rows("Role")] == [*PlantRole]


def test_numbers_that_the_page_names_are_those_of_the_code() -> None:
    settings = OpcUaSettings()
    assert (
        f"`max_connections` ({settings.max_connections}), `max_subscriptions` ({settings.max_subscriptions})"
        in PAGE
    )
    low, high = guarded_sessions.SHORTEST_INTERVAL_MS, guarded_sessions.LONGEST_INTERVAL_MS
    assert f"| {low:.0f} to {high:,.0f} ms |" in PAGE
    assert f"| {guarded_sessions.MOST_ITEMS}, with {guarded.MOST_QUEUED} values waiting each |" in PAGE
    fields, conditions = guarded_items.MOST_FIELDS, guarded_items.MOST_CONDITIONS
    assert f"| {fields} fields; {conditions} conditions with {guarded_items.MOST_STEPS} comparisons," in PAGE
    assert f"| time to log in | {guarded.ACTIVATION_SECONDS:.0f} s |" in PAGE
    assert f"| what a client does not read | {guarded.MOST_UNREAD_BYTES >> 20} MiB |" in PAGE
    assert f"`rejected/`, {MOST_REJECTED} of them" in PAGE
    assert f"the last {MOST_LOOKED_THROUGH:,} verdicts" in PAGE
    assert f"the last {MOST_UNDECIDED:,} of them" in PAGE
    assert f"the latest {GRACE_SECONDS * 1000:.0f} ms after its deadline" in PAGE


class Counts:
    """Stands where a number is read."""

    lost = connections = subscriptions = 0


def test_the_page_lists_every_metric() -> None:
    audit = PlantAudit()
    audit.did("login", "anna")
    audit.refuse("login", "anna", "BadUserAccessDenied")
    text = generate_latest(
        metrics.registry(OpcUaCollector(VisionSystem(1), Counts(), Counts(), audit))
    ).decode()
    kinds = dict(re.findall(r"# TYPE (inspectd_\w+) (\w+)", text))
    labels = {
        name: set(re.findall(r"(\w+)=", found))
        for name, found in re.findall(r"^(inspectd_\w+)\{(.+?)\} ", text, re.MULTILINE)
    }
    listed = {name: (kind, set(re.findall(r"\w+", found))) for name, kind, found, _ in rows("Metric")}
    assert {name: kind for name, (kind, _) in listed.items()} == kinds
    assert {name: found for name, (_, found) in listed.items() if found} == labels


def test_files_it_names_exist() -> None:
    for path in re.findall(r"(?<![\w/])(?:systemd|docs)/[\w./@-]+", PAGE):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(((?:\.\./)?[\w./-]+\.md)", PAGE):
        assert (ROOT / "docs" / "gateways" / path).resolve().exists(), path
