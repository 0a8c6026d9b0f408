"""Metrics of a gateway, read from its counts when somebody scrapes. `docs/gateways/modbus.md` lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inspectd.gateways.handshake import Handshake
from inspectd.gateways.line_link import LineLink
from inspectd.gateways.modbus.protocol import FunctionCode, ModbusException
from inspectd.gateways.modbus.server import CutReason, ModbusServer
from inspectd.gateways.registers import OfflineReason
from inspectd.wire.numbers import COMMAND_REFUSAL_NUMBERS, TRIGGER_REFUSAL_NUMBERS

_OUTCOMES: Final = {
    "trigger": ("accepted", "dropped", *TRIGGER_REFUSAL_NUMBERS),
    "result": ("pass", "fail", "undecidable", "overrun", "not_fetched"),
    "fetched": ("bit", "number"),
    "command": ("done", *COMMAND_REFUSAL_NUMBERS),
    "offline": tuple(reason.name.lower() for reason in OfflineReason if reason),
}
_ABOUT: Final = {
    "trigger": ("triggers", "answer", "Triggers of the plant by the answer they got."),
    "result": ("results", "result", "Results by what the plant was shown, and what became of some."),
    "fetched": ("results_fetched", "by", "Results that the plant acknowledged."),
    "command": ("commands", "result", "Commands of the plant by their result."),
    "offline": ("offline", "reason", "Falls of Online."),
}


class GatewayCollector(Collector):
    """Gives what the parts of a gateway have counted; a scrape reads, and holds up nobody."""

    def __init__(self, handshake: Handshake, link: LineLink, server: ModbusServer) -> None:
        """Read of these."""
        self._handshake, self._link, self._server = handshake, link, server

    def collect(self) -> Iterator[Metric]:
        """Every metric, with zeros for what did not happen."""
        counts = dict(self._handshake.counts)
        for kind, (name, label, about) in _ABOUT.items():
            metric = CounterMetricFamily(f"inspectd_gateway_{name}", about, labels=[label])
            for outcome in _OUTCOMES[kind]:
                metric.add_metric([outcome], counts.get((kind, outcome), 0))
            yield metric
        yield GaugeMetricFamily(
            "inspectd_gateway_online", "1: triggers are taken.", int(self._handshake.is_online)
        )
        yield CounterMetricFamily(
            "inspectd_gateway_verdicts_lost", "Verdicts that could not be had any more.", self._link.lost
        )
        yield from self._modbus()

    def _modbus(self) -> Iterator[Metric]:
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
        metric = CounterMetricFamily(
            "inspectd_gateway_modbus_cut_off", "Connections refused or ended by cause.", labels=["cause"]
        )
        for cause in CutReason:
            metric.add_metric([cause], cuts.get(cause, 0))
        yield metric
        yield GaugeMetricFamily(
            "inspectd_gateway_modbus_connections", "Connections of clients.", len(self._server.connections)
        )


def registry(handshake: Handshake, link: LineLink, server: ModbusServer) -> CollectorRegistry:
    """Everything that is scraped of a gateway."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    made.register(GatewayCollector(handshake, link, server))
    return made
