"""What a person hears of access, from the real bus to the metrics."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from inspectd.config import Config, ImagesCamera, Publish, Recipe
from inspectd.metrics import Metrics
from inspectd.publish import keys
from inspectd.publish.bus import Bus
from inspectd.watching import AccessWatch, LoopWatch
from tests.support.key_list import hang, let_go


@pytest.mark.timeout(60)
def test_keys_that_cannot_be_read_are_an_alarm_and_a_metric_while_it_lasts(tmp_path: Path) -> None:
    keys_dir = tmp_path / "keys"
    keys.new_pair(keys_dir / "server")
    keys.write_allowed(keys_dir, [])
    now_s = 0
    said: list[tuple[str, str]] = []
    metrics = Metrics("line1", [], 500)
    settings = Config(
        recipes=(Recipe(name="r", bank="b"),), cameras=(ImagesCamera(name="cam", recipe="r", folder="x"),)
    )
    watch = AccessWatch(settings, metrics, lambda severity, name, *, detail: said.append((severity, name)))
    bus = Bus(
        Publish(), tmp_path, "p", "line1", lambda _: None, keys_dir=keys_dir, clock=lambda: int(now_s * 1e9)
    )

    def unread() -> float | None:
        return metrics.registry.get_sample_value("inspectd_keys_unread", {"line": "line1"})

    assert unread() == 0
    hang(keys_dir)
    while not said:
        time.sleep(0.02)
        now_s += 1
        watch.watch(bus, now_s)
    assert (said, unread()) == ([("alarm", "keys_unread")], 1)
    let_go(keys_dir, [])
    while len(said) == 1:
        time.sleep(0.02)
        watch.watch(bus, now_s)
    assert (said[1:], unread()) == ([("info", "keys_changed")], 0)
    bus.close()


def test_a_main_process_that_stood_still_is_counted_each_time_and_said_now_and_then() -> None:
    said: list[str] = []
    metrics = Metrics("line1", [], 500)
    watch = LoopWatch(metrics, lambda severity, name, *, detail: said.append(f"{severity} {name}: {detail}"))
    for at_ms, gap_ms in ((0, 90), (50, 101), (100, 700), (200, 20), (10_000, 300), (10_050, 1), (30_000, 1)):
        watch.watch(int(gap_ms * 1e6), int(at_ms * 1e6))
    assert said == [
        "warning stood_still: 1 times for more than 100 ms, 101 ms at the longest",
        "warning stood_still: 2 times for more than 100 ms, 700 ms at the longest",
    ]
    assert metrics.registry.get_sample_value("inspectd_stood_still_total", {"line": "line1"}) == 3
