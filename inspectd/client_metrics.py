"""What is scraped of every program that is a line's client; the page of each lists it in `docs/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inspectd.client.locked_out import locked_out


class LockedOutCollector(Collector):
    """Gives whether this program can speak to its line."""

    def collect(self) -> Iterator[Metric]:
        """The metric."""
        yield GaugeMetricFamily(
            "inspectd_client_locked_out",
            "1: a line does not let this program in though something answers, or a key file is gone.",
            int(bool(locked_out.problems())),
        )


def counted(name: str, about: str, label: str, counts: Mapping[str, float]) -> Metric:
    """A counter by one label; `counts` has a zero for what did not happen."""
    metric = CounterMetricFamily(name, about, labels=[label])
    for value, number in counts.items():
        metric.add_metric([value], number)
    return metric


def register_program(registry: CollectorRegistry) -> None:
    """Have it scraped what every such program has: its process, Python, and whether it is locked out."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(LockedOutCollector())
