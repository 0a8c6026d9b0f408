"""Three real servers, a real hub, a real database: every verdict once, whatever is killed meanwhile."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing

import pytest
from nats.js import api
from support.hub_lines import NOW_MS, counts_in, now_ms, rows_in, send, send_raw, some, stored, until
from support.nats_cluster import NatsCluster

from inspectd import wire
from inspectd.hub.reading import created
from inspectd.hub.schema import DAY_MS

pytestmark = pytest.mark.system  # neither NATS nor PostgreSQL is part of the project


def test_killed_in_the_middle_and_rebuilt_from_nothing(new_cluster, new_hub, postgresql) -> None:
    cluster: NatsCluster = new_cluster("line", "other")
    url = postgresql.new_database("hub")
    items = some("line", 5000)  # more than two transactions
    send(cluster, "line", items[:4500])
    send(cluster, "other", some("other", 200))
    hub = new_hub(cluster, url).start()
    until(lambda: stored(url) > 100)
    hub.end(signal.SIGKILL)
    between = stored(url)
    # Of a hole that the forwarder filled later: at the stream's end, and in its place in the database.
    send(cluster, "line", [*items[4500:4700], *items[4750:]])
    send(cluster, "line", items[4700:4750], is_repair=True)
    hub.start()
    until(lambda: stored(url) == 5200)
    assert between < 5200
    assert hub.end() == 0
    assert [row[3] for row in rows_in(url) if row[1] == "line"] == list(range(1, 5001))
    found = rows_in(url), counts_in(url)
    postgresql.new_database("hub")  # deleted, and made empty
    hub.start()
    until(lambda: stored(url) == 5200)
    assert (rows_in(url), counts_in(url)) == found
    assert "Traceback" not in hub.log.read_text()


def test_a_stream_that_was_put_back_from_a_backup_is_read_from_its_beginning(
    new_cluster, new_hub, tmp_path
) -> None:
    """It is as old as before; what its forwarder filled it with is not what the hub had read of it."""
    cluster: NatsCluster = new_cluster("line")
    url, items = f"sqlite:///{tmp_path / 'hub.sqlite'}", some("line", 30)
    send(cluster, "line", items[:10])
    hub = new_hub(cluster, url).start()
    until(lambda: stored(url) == 10)
    assert hub.end() == 0
    cluster.as_user("administrator", lambda servers: servers.js.delete_stream("V+test+line"))
    cluster.make_streams()
    send(cluster, "line", [*items[:3], *items[15:]])  # the line's journal has no more than these
    with closing(sqlite3.connect(tmp_path / "hub.sqlite")) as file:
        file.execute("UPDATE line SET stream_created = ?", (created(cluster.info("V+test+line")),))
        file.commit()
    hub.start()
    until(lambda: stored(url) == 25)
    hub.end()
    hub.start()
    until(lambda: hub.metrics().get('inspectd_hub_behind{line="line"}') == 0)
    assert hub.log.read_text().count("stream_anew") == 1


def test_a_stream_that_gives_nothing_holds_up_no_other_and_no_reader_is_left_behind(
    new_cluster, new_hub, tmp_path
) -> None:
    cluster: NatsCluster = new_cluster("line", "other")
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    name = "V+test+line"
    full = cluster.info(name).config.evolve(max_consumers=1)
    cluster.as_user("administrator", lambda servers: servers.js.delete_stream(name))
    cluster.as_user("administrator", lambda servers: servers.js.add_stream(full))
    archive = api.ConsumerConfig(durable_name="archive", ack_policy=api.AckPolicy.NONE)
    cluster.as_user("administrator", lambda servers: servers.js.add_consumer(name, archive))
    for line in ("line", "other"):
        send(cluster, line, some(line, 50))
    hub = new_hub(cluster, url).start()
    until(lambda: stored(url) == 50)
    until(lambda: hub.metrics().get('inspectd_hub_line_reading{line="line"}') == 0)
    assert hub.metrics()['inspectd_hub_line_reading{line="other"}'] == 1
    assert hub.metrics()["inspectd_hub_reading"] == 1
    (said,) = [line for line in hub.log.read_text().splitlines() if "stream_not_read" in line]
    assert name in said
    assert "maximum consumers limit reached" in said
    lines = {each["line"]: each["state"] for each in hub.browser("viewer").get("/api/fleet").json()["lines"]}
    assert lines["line"] == "not_read"
    cluster.as_user("administrator", lambda servers: servers.js.delete_consumer(name, "archive"))
    until(lambda: stored(url) == 100)
    until(lambda: hub.metrics()['inspectd_hub_line_reading{line="line"}'] == 1)
    assert hub.end() == 0
    assert [cluster.info(f"V+test+{line}").state.consumer_count for line in ("line", "other")] == [0, 0]


def test_what_is_no_verdict_of_the_line_is_counted_and_passed_over(new_cluster, new_hub, tmp_path) -> None:
    cluster: NatsCluster = new_cluster("line")
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    first, second, third = some("line", 3)
    (foreign,) = some("other", 1, first=7)
    send(cluster, "line", [first])
    subject = f"i1.test.line.v.{first.epoch}.camera1"
    body = json.dumps({"stream": "V+test+line", "seq": 3}).encode()
    send_raw(cluster, "line", subject, body, {})  # as an acknowledgement is
    send_raw(cluster, "line", subject, body, {"Nats-Msg-Id": f"{first.epoch}:22"})
    for item, name in ((second, 9), (foreign, 7)):  # of another number; of another line
        send_raw(cluster, "line", subject, wire.encode(item), {"Nats-Msg-Id": f"{item.epoch}:{name}"})
    send_raw(cluster, "line", f"i1.test.line.v.{second.epoch}.elsewhere", wire.encode(second), _id(second))
    send(cluster, "line", [third])
    hub = new_hub(cluster, url).start()
    until(lambda: stored(url) == 2)
    until(lambda: hub.metrics().get('inspectd_hub_foreign_total{line="line"}') == 5)
    assert [row[3] for row in rows_in(url)] == [1, 3]
    assert hub.metrics()['inspectd_hub_stored_total{line="line"}'] == 2


def test_verdicts_of_a_wrong_clock_are_counted_told_and_none_of_the_last_hour(
    new_cluster, new_hub, tmp_path
) -> None:
    cluster: NatsCluster = new_cluster("line")
    # What a forwarder that begins sends of the line's journal, and what one adds later, is only old.
    send(cluster, "line", some("line", 4, at_ms=NOW_MS - 20 * DAY_MS))
    send(cluster, "line", some("line", 5, first=5))
    send(cluster, "line", some("line", 7, first=10, at_ms=NOW_MS - 300 * DAY_MS))
    send(cluster, "line", some("line", 3, first=17, at_ms=NOW_MS + DAY_MS))
    send(cluster, "line", some("line", 2, first=30, at_ms=NOW_MS - 20 * DAY_MS), is_repair=True)
    hub = new_hub(cluster, f"sqlite:///{tmp_path / 'hub.sqlite'}", days=14).start()
    until(lambda: hub.metrics().get('inspectd_hub_stored_total{line="line"}') == 21)
    assert hub.metrics()['inspectd_hub_misdated_total{line="line"}'] == 10
    assert "verdicts_misdated line=line n=" in hub.log.read_text()
    told = hub.browser("viewer").get("/api/fleet").json()
    assert (told["lines"][0]["hour"]["n"], told["lines"][0]["day"]["n"]) == (5, 5)
    assert told["lines"][0]["newest_ms"] <= told["now_ms"]


def test_a_line_whose_state_was_put_back_is_told_by_what_it_does_now(new_cluster, new_hub, tmp_path) -> None:
    cluster: NatsCluster = new_cluster("line")
    later = some("line", 5, recipe="old")
    send(cluster, "line", later[:3])
    # Its epochs are then before the stream's last; of the last one the forwarder still fills a hole.
    earlier = some("line", 5, recipe="new", epoch=later[0].epoch - 1)
    send(cluster, "line", earlier)
    send(cluster, "line", later[3:], is_repair=True)
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    viewer = new_hub(cluster, url).start().browser("viewer")
    until(lambda: stored(url) == 10)
    assert viewer.get("/api/fleet").json()["lines"][0]["recipe"] == "new"


def test_what_is_left_of_a_line_that_stopped_shows_nobody_that_it_runs(
    new_cluster, new_hub, tmp_path
) -> None:
    cluster: NatsCluster = new_cluster("line", "stopped", "repaired")
    url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    holed = some("repaired", 5)
    send(cluster, "repaired", [*holed[:2], *holed[3:]])
    hub = new_hub(cluster, url, silent=60).start()
    until(lambda: stored(url) == 4)
    hub.end()
    hub.start()
    send(cluster, "repaired", holed[2:3], is_repair=True)
    send(cluster, "stopped", some("stopped", 5, at_ms=NOW_MS - DAY_MS))
    send(cluster, "line", some("line", 5, at_ms=now_ms()))
    until(lambda: stored(url) == 15)
    viewer = hub.browser("viewer")
    states = {"line": "running", "repaired": "silent", "stopped": "catching_up"}
    until(
        lambda: {each["line"]: each["state"] for each in viewer.get("/api/fleet").json()["lines"]} == states
    )


def _id(item) -> dict[str, str]:
    return {"Nats-Msg-Id": f"{item.epoch}:{item.seq}"}


def test_a_report_is_as_old_as_the_servers_say_and_not_as_its_reading(new_cluster, new_hub, tmp_path) -> None:
    cluster: NatsCluster = new_cluster("line")
    report = {"schema": "fleet_report/1", "plant": "test", "line": "line", "at_utc_ns": 1, "state": "running"}
    send_raw(cluster, "line", "i1.test.line.run", json.dumps(report).encode(), {})
    sent_ms = time.time_ns() // 1_000_000
    viewer = new_hub(cluster, f"sqlite:///{tmp_path / 'hub.sqlite'}").start().browser("viewer")
    told = until(
        # A hub that has just started answers that it is starting.
        lambda: [
            each["report"] for each in viewer.get("/api/fleet").json().get("lines", ()) if each["report"]
        ]
    )
    assert told[0]["received_ms"] <= sent_ms
