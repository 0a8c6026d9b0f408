"""What asyncua 2.1 needs to be given: each of these fails without its correction."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inspectd.gateways.opcua import nodesets

PROGRAM = Path(__file__).parents[2] / "support" / "built_nodes.py"


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    """What `built_nodes.py` found."""
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_nodesets_are_shipped_as_they_are_published_with_their_license() -> None:
    for name in nodesets.IMPORT_ORDER:
        assert b"OPC Foundation MIT License 1.00" in nodesets.published(name)[:500]


def test_three_values_are_left_out_that_asyncua_cannot_decode() -> None:
    values = nodesets.published(nodesets.MACHINERY_RESULT).count(b"<Value>")
    assert nodesets.importable(nodesets.MACHINERY_RESULT).count("<Value>") == values - 3
    whole = nodesets.published(nodesets.MACHINE_VISION).decode("utf-8-sig")
    assert nodesets.importable(nodesets.MACHINE_VISION) == whole


def test_in_another_order_they_cannot_be_imported() -> None:
    """In a process of its own: asyncua keeps types for all of a process."""
    program = """
import asyncio
from asyncua import Server
from inspectd.gateways.opcua import nodesets

async def build():
    server = Server()
    await server.init()
    for name in reversed(nodesets.IMPORT_ORDER):
        await server.import_xml(xmlstring=nodesets.importable(name))

asyncio.run(build())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("KeyError"), done.stderr


def test_structures_of_one_name_are_told_apart(built) -> None:
    assert built["types"] == ["ns=2;i=3006", "ns=3;i=3008", "ns=2;i=3005", "ns=3;i=3006"]
    assert built["evaluation"] == 2


def test_structures_without_fields_of_their_own_are_sent_as_themselves(built) -> None:
    assert built["sent"] == {
        "RecipeIdExternal": [3002, 5002, True, "x"],
        "RecipeIdInternal": [3013, 5268, True, "x"],
        "ConfigurationId": [3008, 5090, True, "x"],
    }


def test_every_field_of_an_event_is_sent(built) -> None:
    """asyncua sends null where the NodeSet has no default value."""
    assert built["null"] == []


def test_a_state_has_its_id(built) -> None:
    assert built["states"] == [[name, name] for name in ("Operational", "Ready", "Error", "Initialized")]


def test_optional_parts_are_not_there(built) -> None:
    assert {*built["root"]} == {
        "VisionStateMachine", "RecipeManagement", "ResultManagement", "Results", "Health"
    }  # fmt: skip
