"""The database, or the servers, are away and come back: it is said, and everything goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.hub_lines import now_ms, send, some, stored, until
from support.nats_cluster import NatsCluster
from support.postgresql import PostgresServer

from inspectd.page.history.rows import decided_ms

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
        send(cluster, "line", some("line", 1, first=601, at_ms=now_ms()))
        until(lambda: viewer.get("/api/fleet").json()["lines"][0]["state"] == "running")
        until(lambda: viewer.get("/api/fleet").json()["lines"][0]["state"] == "silent")
        assert "Traceback" not in hub.log.read_text()
    finally:
        server.close()


def test_what_streams_gave_up_before_it_was_read_is_missing_from_its_time_and_no_other(
    new_cluster, new_hub, tmp_path: Path
) -> None:
    cluster: NatsCluster = new_cluster("line")
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    items = some("line", 10)  # a second apart
    send(cluster, "line", items[:5])
    hub = new_hub(cluster, url).start()
    until(lambda: stored(url) == 5)
    assert hub.end() == 0
    send(cluster, "line", items[5:])

    smaller = cluster.info("V+test+line").config.evolve(max_msgs=3)  # up to the seventh all go
    cluster.as_user("administrator", lambda servers: servers.js.update_stream(smaller))
    hub.start()
    until(lambda: stored(url) == 8)
    inspector, at = hub.browser("inspector"), [decided_ms(item) for item in items]

    def lost(from_ms: int, to_ms: int) -> bool:
        span = {"from_ms": from_ms, "to_ms": to_ms}
        return "lost,passed_over: 2" in inspector.get("/api/verdicts.csv", params=span).text

    assert lost(at[5], at[6])
    assert not lost(at[0], at[4])
    assert not lost(at[7] + 1, at[9])


def test_a_stream_that_gave_up_all_that_it_had_is_read_to_its_end(new_cluster, new_hub, tmp_path) -> None:
    cluster: NatsCluster = new_cluster("line", "off")
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    items = some("off", 30)
    send(cluster, "off", items[:10])
    hub = new_hub(cluster, url).start()
    until(lambda: stored(url) == 10)
    assert hub.end() == 0
    send(cluster, "off", items[10:])  # and then the line is switched off for good
    shorter = cluster.info("V+test+off").config.evolve(max_age=0.2, duplicate_window=0.1)
    cluster.as_user("administrator", lambda servers: servers.js.update_stream(shorter))
    until(lambda: cluster.info("V+test+off").state.messages == 0)
    send(cluster, "line", some("line", 5))
    hub.start()
    until(lambda: hub.metrics().get('inspectd_hub_passed_over_total{line="off"}') == 20)
    assert hub.metrics()['inspectd_hub_behind{line="off"}'] == 0
    assert "off: 0 messages in its stream, 0 not in the database yet" in hub.command("--check").stdout
    lost = hub.browser("inspector").get("/api/verdicts.csv", params={"line": "off"}).text
    assert "lost,passed_over: 20" in lost
    hub.end()
    postponed = new_hub(cluster, f"sqlite:///{tmp_path / 'other.sqlite'}").start()  # which never read of it
    until(lambda: stored(postponed.url) == 5)
    until(lambda: postponed.metrics().get('inspectd_hub_behind{line="off"}') == 0)
    assert postponed.metrics()['inspectd_hub_passed_over_total{line="off"}'] == 0


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
