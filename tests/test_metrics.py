"""What the metrics make of what they are told."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from support.messages import verdict

from inspectd.metrics import Metrics


def test_a_verdict_is_held_against_its_own_deadline() -> None:
    metrics = Metrics("line1", ["cam1"], 500)
    for latency_ms, deadline_ms in ((90.0, 100.0), (500.0, 2000.0)):
        seen = {"camera": "cam1", "latency_ms": latency_ms, "deadline_ms": deadline_ms}
        metrics.verdict(msgspec.structs.replace(verdict(1), **seen))
    value = partial(metrics.registry.get_sample_value, labels={"line": "line1", "camera": "cam1"})
    assert value("inspectd_verdict_deadline_share_sum") == pytest.approx(0.9 + 0.25)
