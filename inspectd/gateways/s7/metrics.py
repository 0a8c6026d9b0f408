"""Metrics of the S7 gateway. `docs/gateways/s7.md` lists them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from inspectd.client_metrics import counted
from inspectd.gateways.handshake import Handshake
from inspectd.gateways.line_link import LineLink
from inspectd.gateways.metrics import GatewayCollector
from inspectd.gateways.s7.plc import PlcLostReason, S7Link


class S7Collector(GatewayCollector):
    """Gives what the connection to the PLC has counted beside."""

    def __init__(self, handshake: Handshake, link: LineLink, plc: S7Link) -> None:
        """Read of these."""
        super().__init__(handshake, link)
        self._plc = plc

    def collect(self) -> Iterator[Metric]:
        """Every metric, with zeros for what did not happen."""
        yield from super().collect()
        yield GaugeMetricFamily(
            "inspectd_gateway_s7_connected", "1: the PLC's data blocks are read and written.",
            int(self._plc.is_connected),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "inspectd_gateway_s7_other_writer", "1: another gateway writes to the PLC's status block.",
            int(self._plc.writers.other is not None),
        )  # fmt: skip
        yield CounterMetricFamily(
            "inspectd_gateway_s7_turns", "Turns: a read of the PLC, and a write.", self._plc.turns
        )
        yield CounterMetricFamily(
            "inspectd_gateway_s7_turn_seconds", "Time that turns took.", self._plc.turn_seconds
        )
        yield CounterMetricFamily(
            "inspectd_gateway_s7_unsettled",
            "Turns in which the control block did not stop changing.", self._plc.unsettled,
        )  # fmt: skip
        lost = dict(self._plc.lost)
        yield counted(
            "inspectd_gateway_s7_lost", "Connections that ended or did not come about, by reason.", "reason",
            {reason: lost.get(reason, 0) for reason in PlcLostReason},
        )  # fmt: skip
