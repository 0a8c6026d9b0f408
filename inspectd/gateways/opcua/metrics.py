"""Metrics of an OPC UA gateway, read from its counts when somebody scrapes: `docs/gateways/opcua.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inspectd.client_metrics import counted
from inspectd.gateways.opcua.audit import PlantAudit
from inspectd.gateways.opcua.guarded import GuardedServer
from inspectd.gateways.opcua.line_side import LineSide
from inspectd.gateways.opcua.vision import MachineState, VisionSystem
from inspectd.wire.numbers import TRIGGER_REFUSAL_NUMBERS

_RESULTS: Final = ("pass", "fail", "undecidable")
_ERRORS: Final = ("silent", "scoring_down", "golden_failed", "golden_overdue", "camera_down")


class OpcUaCollector(Collector):
    """Gives what the parts of a gateway have counted; a scrape reads, and holds up nobody."""

    def __init__(
        self, vision: VisionSystem, line: LineSide, server: GuardedServer, audit: PlantAudit
    ) -> None:
        """Read of these."""
        self._vision, self._line, self._server, self._audit = vision, line, server, audit

    def collect(self) -> Iterator[Metric]:
        """Every metric, with zeros for what did not happen."""
        counts = dict(self._vision.counts)
        for kind, name, label, outcomes, about in (
            (
                "trigger",
                "triggers",
                "answer",
                ("accepted", *TRIGGER_REFUSAL_NUMBERS),
                "Jobs by the line's answer.",
            ),
            ("result", "results", "result", _RESULTS, "Results by what clients were told."),
            ("error", "opcua_errors", "cause", _ERRORS, "Falls of the vision system to Error."),
        ):
            numbers = {outcome: counts.get((kind, outcome), 0) for outcome in outcomes}
            yield counted(f"inspectd_gateway_{name}", about, label, numbers)
        done = dict(sorted(dict(self._audit.done).items()))
        yield counted("inspectd_gateway_opcua_done", "What clients did, by action.", "action", done)
        refused = CounterMetricFamily(
            "inspectd_gateway_opcua_refused", "What clients were refused, by action and cause.",
            labels=["action", "cause"],
        )  # fmt: skip
        for (action, cause), count in sorted(dict(self._audit.refused).items()):
            refused.add_metric([action, cause], count)
        yield refused
        yield CounterMetricFamily(
            "inspectd_gateway_verdicts_lost", "Verdicts that could not be had any more.", self._line.lost
        )
        is_online = self._vision.machine is MachineState.OPERATIONAL
        for name, about, value in (
            ("online", "1: jobs are taken.", int(is_online)),
            ("opcua_connections", "Connections of clients.", self._server.connections),
            ("opcua_subscriptions", "Subscriptions of clients.", self._server.subscriptions),
        ):
            yield GaugeMetricFamily(f"inspectd_gateway_{name}", about, value)
