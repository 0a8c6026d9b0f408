"""The database, or the servers, are away and come back: it is said, and everything goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.hub_lines import send, some, stored, until
from support.nats_cluster import NatsCluster
from support.postgresql import PostgresServer

pytestmark = pytest.mark.system  # neither NATS nor PostgreSQL is part of the project


def test_the_database_stops_and_starts(new_cluster, new_hub) -> None:
    cluster: NatsCluster = new_cluster("line")
    server = PostgresServer()
    try:
        url = server.new_database("hub")
        items = some("line", 600)
        send(cluster, "line", items[:300])
        hub = new_hub(cluster, url).start()
        until(lambda: stored(url) == 300)
        server.stop(signal.SIGQUIT)
        send(cluster, "line", items[300:])
        until(lambda: hub.metrics()['inspectd_hub_troubles_total{why="database"}'] > 0)
        assert hub.metrics()["inspectd_hub_reading"] == 0
        said = hub.browser("viewer").get("/api/fleet")
        assert (said.status_code, said.json()["what"]) == (503, "database")
        assert hub.command("--check").returncode == 1
        server.start()
        until(lambda: stored(url) == 600)
        until(lambda: hub.metrics()["inspectd_hub_reading"] == 1)
        viewer = hub.browser("viewer")
        send(cluster, "line", some("line", 1, first=601))
        until(lambda: viewer.get("/api/fleet").json()["lines"][0]["state"] == "running")
        until(lambda: viewer.get("/api/fleet").json()["lines"][0]["state"] == "silent")
        assert "Traceback" not in hub.log.read_text()
    finally:
        server.close()


def test_a_line_that_comes_later_is_found(new_cluster, new_hub, tmp_path: Path) -> None:
    cluster: NatsCluster = new_cluster("line")
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    hub = new_hub(cluster, url)
    before = hub.command("--check")
    assert "hub.sqlite, not there yet; the hub makes it" in before.stdout
    assert not (tmp_path / "hub.sqlite").exists()
    hub.start()
    until(lambda: "reading" in hub.log.read_text())
    cluster.kill()
    until(lambda: hub.metrics()["inspectd_hub_reading"] == 0)
    assert "gap,,,,,not_read,not_read" in hub.browser("inspector").get("/api/verdicts.csv").text
    cluster.start()
    until(lambda: hub.metrics()["inspectd_hub_reading"] == 1)
    send(cluster, "line", some("line", 5))
    until(lambda: stored(url) == 5)
    code = hub.command("--check")
    assert code.returncode == 0, code.stdout
    for words in (
        "5 verdicts counted of 1 lines",
        "line: 5 messages in its stream, 0 not in the database yet",
    ):
        assert words in code.stdout
