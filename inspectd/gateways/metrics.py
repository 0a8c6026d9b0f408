"""Metrics of a gateway with a hand-shake, read from its counts when somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inspectd.client_metrics import counted, register_program
from inspectd.gateways.handshake import Handshake
from inspectd.gateways.line_link import LineLink
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
    """Gives what a hand-shake and its line's side have counted; a scrape reads, and holds up nobody."""

    def __init__(self, handshake: Handshake, link: LineLink) -> None:
        """Read of these."""
        self._handshake, self._link = handshake, link

    def collect(self) -> Iterator[Metric]:
        """Every metric, with zeros for what did not happen."""
        counts = dict(self._handshake.counts)
        for kind, (name, label, about) in _ABOUT.items():
            numbers = {outcome: counts.get((kind, outcome), 0) for outcome in _OUTCOMES[kind]}
            yield counted(f"inspectd_gateway_{name}", about, label, numbers)
        yield GaugeMetricFamily(
            "inspectd_gateway_online", "1: triggers are taken.", int(self._handshake.is_online)
        )
        yield CounterMetricFamily(
            "inspectd_gateway_verdicts_lost", "Verdicts that could not be had any more.", self._link.lost
        )


def registry(collector: Collector) -> CollectorRegistry:
    """Everything that is scraped of a gateway with this collector."""
    made = CollectorRegistry()
    register_program(made)
    made.register(collector)
    return made
