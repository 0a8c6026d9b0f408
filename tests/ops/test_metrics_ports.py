"""Programs that run beside each other on one host, and what Prometheus is told to read of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspectd.config.settings import MetricsSettings
from inspectd.fleet.agent.settings import AgentConfig
from inspectd.fleet.settings import ForwardConfig
from inspectd.gateways.modbus.settings import ModbusConfig
from inspectd.gateways.opcua.settings import OpcUaConfig
from inspectd.gateways.s7.settings import S7Config
from inspectd.gateways.sparkplug.settings import SparkplugConfig
from inspectd.hub.settings import HubConfig
from inspectd.page.settings import PageConfig

ROOT = Path(__file__).parents[2]
PORTS = [
    config().metrics.port
    for config in (
        ModbusConfig, SparkplugConfig, PageConfig, S7Config,
        ForwardConfig, AgentConfig, HubConfig, OpcUaConfig,
    )
]  # fmt: skip


def test_each_program_of_a_host_has_a_port_of_its_own() -> None:
    assert len({MetricsSettings().port, *PORTS}) == 1 + len(PORTS)


@pytest.mark.parametrize("name", ["config/prometheus/prometheus.yml", "docs/operations.md"])
def test_who_sets_prometheus_up_is_told_every_port(name: str) -> None:
    """Else the alerts of these programs, which are installed with the line's, never fire."""
    text = (ROOT / name).read_text()
    assert [port for port in PORTS if str(port) not in text] == []
