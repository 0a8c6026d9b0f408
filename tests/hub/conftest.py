from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.hub_process import HubProcess
from support.nats_cluster import NatsCluster
from support.postgresql import PostgresServer


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresServer]:
    """A server for a whole file."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgresql")
    return server.new_database("hub")


@pytest.fixture
def new_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NatsCluster]]:
    """Starts servers with the streams of some lines."""
    started: list[NatsCluster] = []

    def start(*lines: str) -> NatsCluster:
        started.append(NatsCluster(tmp_path_factory.mktemp("nats"), lines))
        started[-1].start()
        started[-1].make_streams()
        return started[-1]

    yield start
    for cluster in started:
        cluster.close()


@pytest.fixture
def new_hub(tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Makes hubs."""
    made: list[HubProcess] = []

    def make(cluster: NatsCluster, url: str, **more: Any) -> HubProcess:
        made.append(HubProcess(tmp_path / f"hub{len(made)}", cluster, url, **more))
        return made[-1]

    yield make
    for hub in made:
        hub.close()
