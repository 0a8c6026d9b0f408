"""Reads stage times from a daemon's metrics endpoint."""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from typing import Final

_SAMPLE: Final = re.compile(
    r'^inspectd_stage_seconds_(sum|count)\{[^}]*stage="([^"]+)"[^}]*\} (\S+)$', re.MULTILINE
)

Totals = dict[str, dict[str, float]]
"""By `sum` and `count`, then by stage: seconds, and inspections."""


def stage_totals(port: int) -> Totals:
    """Time of every stage so far.

    Raises:
        OSError: nothing answers at that port of this host.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return parse(connection.getresponse().read().decode())
    finally:
        connection.close()


def parse(exposition: str) -> Totals:
    """The totals in Prometheus' text format."""
    totals: Totals = {"sum": {}, "count": {}}
    for kind, stage, value in _SAMPLE.findall(exposition):
        totals[kind][stage] = float(value)
    return totals


def means_ms(
    before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Mean milliseconds an inspection spent in each stage between two readings."""
    means = {}
    for stage, count in after["count"].items():
        entered = count - before["count"].get(stage, 0.0)
        if entered > 0:
            means[stage] = round(1000 * (after["sum"][stage] - before["sum"].get(stage, 0.0)) / entered, 3)
    return means
