"""The gateways with clients of other code bases, in short: node-opcua, modbus-serial, sparkplug-payload.

The programs that do the same in full are `tools/faults/*_acceptance.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import modbus_acceptance, opcua_acceptance, sparkplug_acceptance
from faults.acceptance import Checks

pytestmark = pytest.mark.system  # node and Mosquitto are no part of the project


@pytest.fixture
def checks() -> Checks:
    return Checks()


def test_modbus_with_modbus_serial(checks: Checks, tmp_path: Path) -> None:
    modbus_acceptance.accept(checks, tmp_path, 20)
    assert not checks.wrong


def test_opcua_with_node_opcua(checks: Checks, tmp_path: Path) -> None:
    opcua_acceptance.accept(checks, tmp_path, 10, short=True)
    assert not checks.wrong


def test_sparkplug_with_the_decoder_of_cirrus_link(checks: Checks, tmp_path: Path) -> None:
    sparkplug_acceptance.accept(checks, tmp_path, 200, away_seconds=1.0)
    assert not checks.wrong
