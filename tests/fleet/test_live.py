"""Three real servers, a real line with the stub scorer, the real forwarder: nothing lost, nothing twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from support.daemon import WELL, Daemon, camera_table, settings
from support.forwarder import ForwarderProcess, forwarder_file
from support.hub_lines import send, some
from support.nats_cluster import NatsCluster

from inspectd.fleet.servers import Servers
from inspectd.fleet.streams import verdicts_config
from inspectd.wire.sync import Position

pytestmark = pytest.mark.system  # NATS is no part of the project

FORWARDED = 'inspectd_forward_verdicts_total{how="forwarded"}'
REPAIRED = 'inspectd_forward_verdicts_total{how="repaired"}'


def judged(daemon: Daemon) -> list[Position]:
    return [Position(verdict.epoch, verdict.seq) for verdict in daemon.reader.verdicts]


def start_line(start_daemon, stub_bank, small_good, fps: float = 50) -> Daemon:
    return start_daemon(settings(stub_bank, camera_table("top", small_good, fps=fps))).ready()


def checked(cluster: NatsCluster, line: Daemon, name: str = "line", **more: str) -> tuple[int, str]:
    """Exit code and words of `--check`."""
    file = line.folder / "check.toml"
    file.write_text(forwarder_file(cluster, name, line.runtime_dir, **more))
    command = [sys.executable, "-m", "inspectd", "forward", "--config", str(file), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_verdicts_survive_a_leader_and_a_forwarder(
    start_daemon, stub_bank, small_good, start_cluster, start_forwarder
) -> None:
    cluster = start_cluster()
    line = start_line(start_daemon, stub_bank, small_good)
    forwarder = start_forwarder(cluster, "line", line.runtime_dir)
    forwarder.until(lambda: forwarder.metrics().get(FORWARDED, 0) > 100)
    code, said = checked(cluster, line)
    assert code == 0, said
    for words in (
        "by NKEY",
        "flushes every message",
        "over TLS 1.3",
        "forwarding goes on after",
        "no problem",
    ):
        assert words in said
    leader = cluster.leader("V+test+line")
    cluster.kill(leader)
    line.until(lambda: len(line.reader.verdicts) > 400)
    away = f"nats{leader + 1} is away", f"nats{leader + 1} lacks"
    end = time.monotonic() + 30  # the others choose a leader, and take the silent one for away, in seconds
    while not any(words in said for words in away):
        assert time.monotonic() < end, said
        code, said = checked(cluster, line)
        assert code == 1
    forwarder.stop(signal.SIGKILL)
    line.until(lambda: len(line.reader.verdicts) > 500)
    forwarder.start()
    cluster.start(leader)
    line.until(lambda: len(line.reader.verdicts) > 600)
    expected = judged(line)
    forwarder.until(lambda: cluster.info("V+test+line").state.messages >= len(expected))
    assert [position for _, position in cluster.positions("line")][: len(expected)] == expected
    metrics = forwarder.metrics()
    assert metrics["inspectd_forward_verdicts_lost_total"] == 0
    assert metrics['inspectd_forward_extras_total{kind="h",result="stored"}'] > 0
    assert forwarder.stop() == 0
    assert "Traceback" not in forwarder.log.read_text()


def test_what_is_missing_in_the_middle_is_found_and_filled(
    start_daemon, stub_bank, small_good, start_cluster, start_forwarder
) -> None:
    cluster: NatsCluster = start_cluster(with_streams=False)
    names = cluster.lines["line"]
    open_to_damage = verdicts_config(names, days=1, max_gb=0.1).evolve(deny_delete=False)
    cluster.as_user("administrator", lambda servers: servers.js.add_stream(open_to_damage))
    line = start_line(start_daemon, stub_bank, small_good, fps=50)
    forwarder = start_forwarder(
        cluster, "line", line.runtime_dir, forward="heatmaps = false\ncompare_minutes = 0.05"
    )
    line.until(lambda: len(line.reader.verdicts) > 60)
    line.stop()  # the end of an epoch, too, may be missing
    again = Daemon(line.folder, line.file.read_text(), behaviour=WELL)
    try:
        again.ready()
        _damage_and_wait(cluster, forwarder)
    finally:
        again.close()


def _damage_and_wait(cluster: NatsCluster, forwarder: ForwarderProcess) -> None:
    names = cluster.lines["line"]
    forwarder.until(lambda: cluster.info(names.stream).state.messages > 150)
    epochs = sorted({position.epoch for _, position in cluster.positions("line")})
    last_of_first = sum(position.epoch == epochs[0] for _, position in cluster.positions("line"))

    async def damage(servers: Servers) -> None:
        for sequence in (10, 11, 12, 30, last_of_first, last_of_first + 1):
            assert await servers.js.delete_msg(names.stream, sequence)

    cluster.as_user("administrator", damage)
    forwarder.until(lambda: forwarder.metrics().get(REPAIRED, 0) >= 6)
    found = cluster.positions("line")
    fixed = [position for kind, position in found if kind == "fix"]
    assert [position.seq for position in fixed[:4]] == [10, 11, 12, 30]
    assert {*fixed[4:]} == {Position(epochs[0], last_of_first), Position(epochs[1], 1)}
    assert len({position for _, position in found}) == len(found)
    before = forwarder.metrics()["inspectd_forward_compared_timestamp_seconds"]
    forwarder.until(lambda: forwarder.metrics()["inspectd_forward_compared_timestamp_seconds"] > before + 4)
    metrics = forwarder.metrics()
    assert (metrics[REPAIRED], metrics["inspectd_forward_missing"], metrics["inspectd_forward_doubles"]) == (
        6,
        0,
        0,
    )


def test_a_line_that_goes_back_before_the_streams_last_epoch_gives_nothing_twice(
    start_daemon, stub_bank, small_good, start_cluster, start_forwarder
) -> None:
    cluster: NatsCluster = start_cluster()
    line = start_line(start_daemon, stub_bank, small_good, fps=50)
    forwarder = start_forwarder(cluster, "line", line.runtime_dir, forward="compare_minutes = 0.05")
    forwarder.until(lambda: forwarder.metrics().get(FORWARDED, 0) > 100)
    forwarder.stop()
    epoch = max(position.epoch for _, position in cluster.positions("line")) + 86_400_000
    send(cluster, "line", some("line", 20, epoch=epoch))  # of today, which a backup of yesterday has not
    forwarder.start()
    compared = "inspectd_forward_compared_timestamp_seconds"
    forwarder.until(lambda: forwarder.metrics().get(compared) and forwarder.metrics()[FORWARDED] > 100)
    before = forwarder.metrics()[compared]
    forwarder.until(lambda: forwarder.metrics()[compared] > before + 4)
    line.until(lambda: True)
    found = [position for _, position in cluster.positions("line")]
    assert len(set(found)) == len(found)
    own = [position.seq for position in found if position.epoch != epoch]
    assert own == [*range(1, len(own) + 1)]
    assert "given_again" in forwarder.log.read_text()
    metrics = forwarder.metrics()
    assert (metrics[REPAIRED], metrics["inspectd_forward_doubles"]) == (0, 0)
    assert metrics['inspectd_forward_verdicts_total{how="duplicate"}'] > 100


def test_servers_that_flush_now_and_then_are_refused(
    start_daemon, stub_bank, small_good, start_cluster, start_forwarder
) -> None:
    cluster = start_cluster(sync="30s")
    line = start_line(start_daemon, stub_bank, small_good, fps=10)
    code, said = checked(cluster, line)
    assert code == 1
    assert (
        "flushes every 30 s: what it acknowledges, a power cut may take; expected sync_interval: always"
        in said
    )
    forwarder: ForwarderProcess = start_forwarder(cluster, "line", line.runtime_dir)
    forwarder.until(lambda: forwarder.metrics().get("inspectd_forward_servers_unsafe") == 1)
    assert forwarder.metrics()["inspectd_forward_connected"] == 0
    assert cluster.info("V+test+line").state.messages == 0


def test_a_check_names_what_is_wrong(start_daemon, stub_bank, small_good, start_cluster) -> None:
    cluster = start_cluster(("line", "other"))
    line = start_line(start_daemon, stub_bank, small_good, fps=10)
    code, said = checked(cluster, line, "other", seed_file=str(cluster.keys["line"][0]))
    assert code == 1
    assert "permissions violation" in said.lower()
    code, said = checked(
        cluster, line, monitors=["https://127.0.0.1:1", "https://127.0.0.1:2", "https://127.0.0.1:3"]
    )
    assert code == 1
    assert "do not say how they store: servers.monitors must have each server's monitoring endpoint" in said
    code, said = checked(cluster, line, ca_file=str(cluster.folder / "nats1.log"))
    assert code == 2
    assert "expected a PEM file" in said
    cluster.close()
    code, said = checked(cluster, line)
    assert code == 1
    assert said.count("PROBLEM") == 4
