from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.forwarder import ForwarderProcess
from support.nats_cluster import NatsCluster

from inspectd.fleet.make_streams import make_streams
from inspectd.fleet.servers import ServersError
from inspectd.fleet.settings import ForwardConfig, ForwardedLine


def make_all_streams(cluster: NatsCluster, seconds: float = 60.0) -> None:
    """The streams of every line of a cluster, once its servers know each other."""
    for line in cluster.lines:
        settings = ForwardConfig(
            line=ForwardedLine(plant="test", name=line), servers=cluster.settings("administrator")
        )
        key = cluster.keys["administrator"][0]
        for attempt in range(round(seconds * 2)):
            try:
                asyncio.run(make_streams(settings, key, days=1, max_gb=0.3, extras_gb=0.05))
                break
            except ServersError:
                assert attempt + 1 < seconds * 2
                asyncio.run(asyncio.sleep(0.5))


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[Callable[..., NatsCluster]]:
    """Starts clusters, with the streams of their lines."""
    started: list[NatsCluster] = []

    def start(lines: tuple[str, ...] = ("line",), **more: Any) -> NatsCluster:
        cluster = NatsCluster(tmp_path / f"nats{len(started)}", lines, **more)
        started.append(cluster)
        cluster.start()
        make_all_streams(cluster)
        return cluster

    yield start
    for cluster in started:
        cluster.close()


@pytest.fixture
def start_forwarder(tmp_path: Path) -> Iterator[Callable[..., ForwarderProcess]]:
    """Starts forwarders."""
    started: list[ForwarderProcess] = []

    def start(cluster: NatsCluster, line: str, runtime_dir: Path, **more: Any) -> ForwarderProcess:
        started.append(ForwarderProcess(tmp_path, cluster, line, runtime_dir, **more))
        return started[-1]

    yield start
    for forwarder in started:
        forwarder.close()
