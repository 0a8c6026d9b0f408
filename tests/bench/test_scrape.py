"""Stage times are read from the real metrics' own exposition."""

from prometheus_client import generate_latest

from inspectd.bench.scrape import means_ms, parse
from inspectd.metrics import Metrics


def test_means_are_of_what_came_between_two_readings():
    metrics = Metrics("line1", ["cam1"], 500.0)
    metrics.stage("queue", 9.0)
    before = parse(generate_latest(metrics.registry).decode())
    for seconds in (0.010, 0.030):
        metrics.stage("queue", seconds)
    metrics.stage("backbone", 0.004)
    after = parse(generate_latest(metrics.registry).decode())
    assert means_ms(before, after) == {"queue": 20.0, "backbone": 4.0}
    assert means_ms(after, after) == {}
