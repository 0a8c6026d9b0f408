"""Metrics of the Modbus gateway. `docs/gateways/modbus.md` lists them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from inspectd.client_metrics import counted
from inspectd.gateways.handshake import Handshake
from inspectd.gateways.line_link import LineLink
from inspectd.gateways.metrics import GatewayCollector
from inspectd.gateways.modbus.protocol import FunctionCode, ModbusException
from inspectd.gateways.modbus.server import CutReason, ModbusServer


class ModbusCollector(GatewayCollector):
    """Gives what the server has counted beside."""

    def __init__(self, handshake: Handshake, link: LineLink, server: ModbusServer) -> None:
        """Read of these."""
        super().__init__(handshake, link)
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """Every metric, with zeros for what did not happen."""
        yield from super().collect()
        requests = dict(self._server.requests)
        metric = CounterMetricFamily(
            "inspectd_gateway_modbus_requests", "Modbus requests by function and answer.",
            labels=["function", "answer"],
        )  # fmt: skip
        for code in (*(code.name.lower() for code in FunctionCode), "other"):
            for answer in ("ok", *(each.name.lower() for each in ModbusException)):
                metric.add_metric([code, answer], requests.get((code, answer), 0))
        yield metric
        cuts = dict(self._server.cuts)
        yield counted(
            "inspectd_gateway_modbus_cut_off", "Connections refused or ended by cause.", "cause",
            {cause: cuts.get(cause, 0) for cause in CutReason},
        )  # fmt: skip
        yield GaugeMetricFamily(
            "inspectd_gateway_modbus_connections", "Connections of clients.", len(self._server.connections)
        )
