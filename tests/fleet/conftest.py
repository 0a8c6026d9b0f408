from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.agents import AgentProcess, MadeRecipe, Signers, know_banks, line_settings
from support.daemon import Daemon, camera_table, settings
from support.forwarder import ForwarderProcess
from support.nats_cluster import NatsCluster
from support.orders import people_with_keys


@contextmanager
def _clusters(root: Path) -> Iterator[Callable[..., NatsCluster]]:
    started: list[NatsCluster] = []

    def start(lines: tuple[str, ...] = ("line",), *, with_streams: bool = True, **more: Any) -> NatsCluster:
        cluster = NatsCluster(root / f"nats{len(started)}", lines, **more)
        started.append(cluster)
        cluster.start()
        if with_streams:
            cluster.make_streams()
        return cluster

    try:
        yield start
    finally:
        for cluster in started:
            cluster.close()


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[Callable[..., NatsCluster]]:
    """Starts clusters, with the streams of their lines."""
    with _clusters(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    """Three servers for the lines `line` and `other`, for a whole file."""
    with _clusters(tmp_path_factory.mktemp("shared")) as start:
        yield start(("line", "other"))


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


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    """People who sign orders."""
    return Signers(people_with_keys(tmp_path_factory.mktemp("people"), "anna", "otto", "eve"))


@pytest.fixture
def start_agent(signers: Signers) -> Iterator[Callable[..., AgentProcess]]:
    """Starts agents."""
    started: list[AgentProcess] = []

    def start(cluster: NatsCluster, line: str, daemon: Daemon, **more: Any) -> AgentProcess:
        started.append(AgentProcess(cluster, line, daemon, signers, **more))
        return started[-1]

    yield start
    for agent in started:
        agent.close()


@pytest.fixture
def start_line(start_cluster, start_daemon, small_good, start_agent):
    """Starts servers, a line that knows the banks of recipes, and its agent."""

    def start(*recipes: MadeRecipe, **fleet: float) -> tuple[NatsCluster, Daemon, AgentProcess]:
        cluster = start_cluster()
        cluster.make_fleet_streams()
        text = line_settings(settings("stub.bank", camera_table("top", small_good, fps=10)), "line")
        daemon = start_daemon(text).ready()
        know_banks(daemon, *recipes)
        return cluster, daemon, start_agent(cluster, "line", daemon, **fleet)

    return start
