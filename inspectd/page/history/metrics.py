"""Metrics of the history, read from its counts when somebody scrapes; `docs/page_history.md` lists them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inspectd.client_metrics import counted
from inspectd.page.history.history import History

PROBLEMS = ("disk", "line", "internal")


class HistoryCollector(Collector):
    """Gives what a history has counted; a scrape reads, and holds up nobody."""

    def __init__(self, history: History) -> None:
        """Read of this one."""
        self._history = history

    def collect(self) -> Iterator[Metric]:
        """Every metric, with zeros for what did not happen."""
        state, questions = self._history.filler.state, self._history.questions
        for name, about, value in (
            ("written", "Verdicts added to the history.", state.written),
            ("repeated", "Verdicts that the history had already.", state.repeated),
            ("gaps", "Times that verdicts could not be had any more.", state.gaps),
            ("filled", "Verdicts of a gap that the line gave later.", state.filled),
            ("too_old", "Verdicts that a clock which was behind dated, older than is kept.", state.too_old),
            ("unreadable", "Messages that are not in this format.", state.unreadable),
            ("dropped", "Events and samples dropped while nothing could be added.", state.dropped),
            ("failures", "Times that nothing could be added, and it was tried again.", state.failures),
            ("set_aside", "Files set aside as damaged or of another version.", state.set_aside),
            ("answered", "Questions that were answered.", questions.answered),
        ):
            yield CounterMetricFamily(f"inspectd_page_history_{name}", about, value)
        yield counted(
            "inspectd_page_history_refused", "Questions that got no answer.", "reason", questions.refused
        )
        problem = GaugeMetricFamily(
            "inspectd_page_history_problem", "1: nothing is added for this reason.", labels=["reason"]
        )
        for reason in PROBLEMS:
            problem.add_metric([reason], float(state.problem == reason))
        yield problem
        yield GaugeMetricFamily("inspectd_page_history_bytes", "What the rows take.", state.used_bytes)
        yield GaugeMetricFamily(
            "inspectd_page_history_last_seconds",
            "When the last verdict in it was decided; 0: there is none.",
            (state.last_ms or 0) / 1000,
        )
