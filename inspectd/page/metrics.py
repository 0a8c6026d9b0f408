"""Metrics of the page, read from its counts when somebody scrapes. `docs/page.md` lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inspectd.client_metrics import LockedOutCollector, counted
from inspectd.page.history.history import History
from inspectd.page.history.metrics import HistoryCollector
from inspectd.page.line.link import LineThreads
from inspectd.page.listening import ConnectionBook
from inspectd.page.live.hub import LiveHub

_COUNTED: Final = {
    "answers": ("answers", "status", "Answers by the class of their status.", ("2xx", "3xx", "4xx", "5xx")),
    "refused": (
        "refused", "cause", "Requests and connections that were refused by cause.",
        ("origin", "role", "rate", "connections", "slow", "broken_off", "fault"),
    ),
    "logins": ("logins", "result", "Attempts to log in.", ("right", "wrong", "wait", "busy")),
    "acts": ("acts", "result", "What persons asked the line for.", ("done", "refused", "not_known")),
    "tabs_cut": (
        "tabs_cut", "cause", "Tabs that were cut off by cause.",
        ("logged_out", "too_many", "too_slow", "malformed"),
    ),
}  # fmt: skip


class PageCollector(Collector):
    """Gives what the parts of the page have counted; a scrape holds up nobody."""

    def __init__(
        self, counts: Counter[tuple[str, str]], *, hub: LiveHub, line: LineThreads, book: ConnectionBook
    ) -> None:
        """Read of these."""
        self._counts, self._hub, self._line, self._book = counts, hub, line, book

    def collect(self) -> Iterator[Metric]:
        """Every metric, with zeros for what did not happen."""
        counts = dict(self._counts)
        for kind, (name, label, about, values) in _COUNTED.items():
            numbers = {value: counts.get((kind, value), 0) for value in values}
            yield counted(f"inspectd_page_{name}", about, label, numbers)
        yield CounterMetricFamily(
            "inspectd_page_line_problems", "Times that a reader of the line began again.", self._line.problems
        )
        yield GaugeMetricFamily(
            "inspectd_page_line_alive", "1 while heartbeats of the line come.", int(self._hub.line.is_alive)
        )
        yield from LockedOutCollector().collect()
        yield GaugeMetricFamily("inspectd_page_tabs", "Open tabs.", len(self._hub.tabs))
        yield GaugeMetricFamily("inspectd_page_connections", "Connections of browsers.", self._book.total)


def registry(
    counts: Counter[tuple[str, str]], *, hub: LiveHub, line: LineThreads, book: ConnectionBook,
    history: History,
) -> CollectorRegistry:  # fmt: skip
    """Everything that is scraped of the page."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    made.register(HistoryCollector(history))
    made.register(PageCollector(counts, hub=hub, line=line, book=book))
    return made
