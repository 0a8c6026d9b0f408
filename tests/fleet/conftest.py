from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.forwarder import ForwarderProcess
from support.nats_cluster import NatsCluster


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[Callable[..., NatsCluster]]:
    """Starts clusters, with the streams of their lines."""
    started: list[NatsCluster] = []

    def start(lines: tuple[str, ...] = ("line",), **more: Any) -> NatsCluster:
        cluster = NatsCluster(tmp_path / f"nats{len(started)}", lines, **more)
        started.append(cluster)
        cluster.start()
        cluster.make_streams()
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
