"""Whatever somebody with a line's key writes into its streams: it is counted, and ends nothing."""

from __future__ import annotations

import itertools
import time
from random import Random

import pytest
from support.hub_lines import now_ms, rows_in, send, send_raw, some, stored, until
from support.messages import EPOCH
from support.nats_cluster import NatsCluster

pytestmark = pytest.mark.system  # neither NATS nor PostgreSQL is part of the project


def test_no_message_of_a_line_ends_the_reading(new_cluster, new_hub, postgresql) -> None:
    cluster: NatsCluster = new_cluster("line", "other")
    url = postgresql.new_database("hub")
    first, second, third = some("line", 3)
    subject = f"i1.test.line.v.{first.epoch}.camera1"
    send(cluster, "line", [first])
    dice = Random(1)
    incompressible = "".join(chr(dice.randrange(0x10000, 0x20000)) for _ in range(900))
    written = 0
    for status in ("100", "404", "408", "409", "503", "500"):  # as servers mark what is no message
        for body in (b"", b"{}"):
            send_raw(cluster, "line", subject, body, {"Status": status})
            written += 1
    send_raw(cluster, "line", subject, b"{}", {"Nats-Msg-Id": f"{'1' * 5000}:1"})
    for changes in ({"part_id": incompressible}, {"region": incompressible}, {"label": "x" * 3_000_000}):
        send(cluster, "line", some("line", 1, first=10 + written, **changes))
        written += 1
    written += 1
    send_raw(cluster, "line", "i1.test.line.run", REPORT[:-1] + b',"more":"\xff"}', {})
    send(cluster, "line", [second])
    send(cluster, "other", some("other", 5))
    hub = new_hub(cluster, url).start()
    until(lambda: stored(url) == 7)
    until(lambda: hub.metrics()['inspectd_hub_foreign_total{line="line"}'] == written + 1)
    send(cluster, "line", [third])
    until(lambda: stored(url) == 8)
    assert [row[3] for row in rows_in(url) if row[1] == "line"] == [1, 2, 3]
    found = hub.metrics()
    assert [found[f'inspectd_hub_troubles_total{{why="{why}"}}'] for why in ("servers", "database")] == [0, 0]
    assert hub.browser("viewer").get("/api/fleet").status_code == 200
    assert "Traceback" not in hub.log.read_text()


def test_a_line_does_not_run_because_others_write_into_its_stream(new_cluster, new_hub, tmp_path) -> None:
    cluster: NatsCluster = new_cluster("line")
    hub = new_hub(cluster, f"sqlite:///{tmp_path / 'hub.sqlite'}", silent=5).start()
    viewer = hub.browser("viewer")

    def state() -> str:
        lines = viewer.get("/api/fleet").json().get("lines", ())  # it has just started
        return lines[0]["state"] if lines else ""

    numbers = itertools.count(1)

    def runs() -> bool:
        """It does for `silent` seconds from a verdict on, and a hub that has just started may take longer."""
        (item,) = some("line", 1, first=next(numbers), at_ms=now_ms())
        send(cluster, "line", [item])
        return state() == "running"

    until(runs)
    until(lambda: state() == "silent")
    for n in range(1, 6):
        send_raw(cluster, "line", f"i1.test.line.v.{EPOCH}.camera1", b'{"stream":"V+test+line"}', {})
        until(lambda n=n: hub.metrics()['inspectd_hub_foreign_total{line="line"}'] == n)
        assert state() == "silent"
        time.sleep(0.2)


REPORT = b'{"schema":"fleet_report/1","plant":"test","line":"line","at_utc_ns":1,"state":"x"}'
