"""Metrics of the hub, read from its state when somebody scrapes. `docs/hub.md` lists them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inspectd.client_metrics import counted
from inspectd.hub.asking import HubQuestions
from inspectd.hub.reading_state import ReadingState, utc_ms


class HubCollector(Collector):
    """Gives what the hub has counted; a scrape asks neither servers nor database.

    Args:
        state: of the reading.
        questions: of the page.
    """

    def __init__(self, state: ReadingState, questions: HubQuestions) -> None:
        self._state, self._questions = state, questions

    def collect(self) -> Iterator[Metric]:
        """Every metric, with zeros for what did not happen."""
        state = self._state
        yield GaugeMetricFamily(
            "inspectd_hub_reading", "1 while streams are read.", int(state.trouble is None)
        )
        troubles = {why.value: number for why, number in state.troubles.items()}
        yield counted("inspectd_hub_troubles", "Times that reading ended, by why.", "why", troubles)
        yield from self._lines()
        yield counted(
            "inspectd_hub_questions_refused", "Questions of pages without an answer, by why.", "why",
            self._questions.refused,
        )  # fmt: skip
        yield CounterMetricFamily("inspectd_hub_questions", "Questions answered.", self._questions.answered)
        yield CounterMetricFamily(
            "inspectd_hub_question_seconds", "Time that they took.", self._questions.seconds
        )

    def _lines(self) -> Iterator[Metric]:
        counters = {
            name: CounterMetricFamily(f"inspectd_hub_{name}", about, labels=["line"])
            for name, about in (
                ("stored", "Verdicts added to the database."),
                ("foreign", "Messages in a line's streams that are none of its verdicts or reports."),
                ("passed_over", "Messages that were gone before they could be read."),
                ("misdated", "Verdicts whose own time cannot be right, by when they came."),
            )
        }
        behind = GaugeMetricFamily(
            "inspectd_hub_behind",
            "Messages of a line's stream that are not in the database.",
            labels=["line"],
        )
        age = GaugeMetricFamily(
            "inspectd_hub_newest_age_seconds",
            "Time since a line's newest verdict reached the servers, those added later left out.",
            labels=["line"],
        )  # fmt: skip
        is_read = GaugeMetricFamily(
            "inspectd_hub_line_reading",
            "1: the line's stream gives what it has, 0: it does not.",
            labels=["line"],
        )
        for names, line in self._state.lines.items():
            is_read.add_metric([names.line], 0.0 if line.trouble else 1.0)
            for name, counter in counters.items():
                counter.add_metric([names.line], getattr(line, name))
            behind.add_metric([names.line], float("nan") if line.behind is None else line.behind)
            seconds = float("nan")
            if line.received_ms is not None:
                seconds = (utc_ms() - line.received_ms) / 1000
            age.add_metric([names.line], seconds)
        yield from counters.values()
        yield behind
        yield is_read
        yield age


def registry(state: ReadingState, questions: HubQuestions) -> CollectorRegistry:
    """Everything that is scraped of the hub."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    made.register(HubCollector(state, questions))
    return made
