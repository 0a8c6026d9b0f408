"""Three real servers, a real line with the stub scorer, the real forwarder: nothing lost, nothing twice."""

from __future__ import annotations

import signal

import pytest
from support.daemon import Daemon, camera_table, settings

from inspectd.wire.sync import Position

pytestmark = pytest.mark.system  # NATS is no part of the project


def judged(daemon: Daemon) -> list[Position]:
    return [Position(verdict.epoch, verdict.seq) for verdict in daemon.reader.verdicts]


def test_verdicts_survive_a_leader_and_a_forwarder(
    start_daemon, stub_bank, good_folder, start_cluster, start_forwarder
) -> None:
    cluster = start_cluster()
    line = start_daemon(settings(stub_bank, camera_table("top", good_folder, fps=100))).ready()
    forwarder = start_forwarder(cluster, "line", line.runtime_dir)
    forwarder.until(
        lambda: forwarder.metrics().get('inspectd_forward_verdicts_total{how="forwarded"}', 0) > 200
    )
    leader = cluster.leader("V+test+line")
    cluster.kill(leader)
    line.until(lambda: len(line.reader.verdicts) > 800)
    forwarder.stop(signal.SIGKILL)
    line.until(lambda: len(line.reader.verdicts) > 1000)
    forwarder.start()
    cluster.start(leader)
    line.until(lambda: len(line.reader.verdicts) > 1200)
    expected = judged(line)
    forwarder.until(lambda: cluster.info("V+test+line").state.messages >= len(expected))
    assert [position for _, position in cluster.positions("line")][: len(expected)] == expected
    metrics = forwarder.metrics()
    assert metrics["inspectd_forward_verdicts_lost_total"] == 0
