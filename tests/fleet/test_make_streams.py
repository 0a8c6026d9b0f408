"""An administrator says again how large a line's streams are."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.hub_lines import send, some
from support.nats_cluster import NatsCluster

from inspectd.errors import InputError
from inspectd.fleet import streams
from inspectd.fleet.make_streams import make_streams
from inspectd.fleet.settings import ForwardConfig, ForwardedLine

pytestmark = pytest.mark.system  # NATS is no part of the project


def test_what_is_not_said_stays_and_nothing_is_deleted_unasked(start_cluster, monkeypatch) -> None:
    cluster: NatsCluster = start_cluster(("line",))
    send(cluster, "line", some("line", 200))
    settings = ForwardConfig(
        line=ForwardedLine(plant="test", name="line"), servers=cluster.settings("administrator")
    )
    key: Path = cluster.keys["administrator"][0]

    def limits() -> tuple[float | None, int | None, int]:
        info = cluster.info("V+test+line")
        return info.config.max_age, info.config.max_bytes, info.state.messages

    asyncio.run(make_streams(settings, key, days=7.0))
    assert limits() == (7 * 86_400, 500_000_000, 200)
    asyncio.run(make_streams(settings, key))
    assert limits() == (7 * 86_400, 500_000_000, 200)
    with monkeypatch.context() as later:  # the oldest is always as old as its limit, or a little older
        week = SimpleNamespace(time=lambda: time.time() + 7 * 86_400)
        later.setattr(streams, "time", week)
        asyncio.run(make_streams(settings, key))
        with pytest.raises(InputError, match=r"messages of 7 days, allowed are 6: what is beyond"):
            asyncio.run(make_streams(settings, key, days=6.0))
    with pytest.raises(InputError, match="GB, allowed are 2e-05: what is beyond would be deleted for good"):
        asyncio.run(make_streams(settings, key, max_gb=0.00002))
    with pytest.raises(InputError, match=r"messages of .* days, allowed are 1e-06: what is beyond"):
        asyncio.run(make_streams(settings, key, days=0.000001))
    assert limits() == (7 * 86_400, 500_000_000, 200)
    asyncio.run(make_streams(settings, key, max_gb=0.00002, may_delete=True))
    assert limits()[1] == 20_000
    assert 0 < limits()[2] < 200
