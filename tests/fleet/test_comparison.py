"""What a stream lacks and what it has twice are two things."""

from __future__ import annotations

import asyncio

import pytest
from support.daemon import camera_table, settings
from support.hub_lines import publish as send
from support.hub_lines import some, until

from inspectd.fleet.forward import comparison as comparison_module
from inspectd.fleet.forward.comparison import Comparison
from inspectd.fleet.forward.line_side import distance
from inspectd.fleet.servers import Servers
from inspectd.fleet.settings import ForwardedLine
from inspectd.wire.sync import Position

pytestmark = pytest.mark.system  # NATS is no part of the project


def test_verdicts_that_are_there_twice_hide_none_that_is_gone(
    start_daemon, stub_bank, small_good, cluster
) -> None:
    daemon = start_daemon(settings(stub_bank, camera_table("top", small_good, fps=5))).ready()
    sockets = f"ipc://{daemon.runtime_dir}/verdicts.sock"
    line = ForwardedLine(plant="test", name="line", verdicts=sockets)
    comparison = Comparison(line, line.names)
    items = some("line", 6)  # of an epoch that the line no longer keeps

    async def compare(servers: Servers) -> list[tuple[int, int]]:
        await send(servers, line.names, [*items[:3], items[5]])
        await send(servers, line.names, items[:3], is_repair=True)
        found = []
        for _ in range(2):
            spans = await comparison.spans(servers)
            assert [item async for item in comparison.missing(servers, spans)] == []
            found.append((comparison.gone, comparison.doubles))
        return found

    assert cluster.as_user("line", compare) == [(2, 3), (2, 3)]


def test_of_more_gaps_than_are_held_at_once_none_is_passed_over(
    start_daemon, stub_bank, small_good, cluster, monkeypatch
) -> None:
    monkeypatch.setattr(comparison_module, "_MOST_GAPS", 2)
    daemon = start_daemon(settings(stub_bank, camera_table("top", small_good, fps=20))).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 12)
    sockets = f"ipc://{daemon.runtime_dir}/verdicts.sock"
    line = ForwardedLine(plant="test", name="other", verdicts=sockets)
    items = sorted(daemon.reader.verdicts, key=lambda verdict: verdict.seq)[:13]
    mine = Comparison(line, line.names)

    async def compare(servers: Servers) -> tuple[list[int], int, int]:
        await send(servers, line.names, [items[at] for at in (0, 2, 1, 4, 6, 8, 10, 12)])
        await send(servers, line.names, [items[2]], is_repair=True)
        found = [item.verdict.seq async for item in mine.missing(servers, await mine.spans(servers))]
        return found, mine.gone, mine.doubles

    seqs = [item.seq for item in items]
    assert cluster.as_user("other", compare) == ([seqs[at] for at in (3, 5, 7, 9, 11)], 0, 1)


def test_what_a_stream_gave_up_is_not_missed_and_what_is_no_verdict_is_looked_at_once(
    start_daemon, stub_bank, small_good, start_cluster, caplog
) -> None:
    caplog.set_level("WARNING", logger="inspectd")
    cluster = start_cluster(("line",))
    daemon = start_daemon(settings(stub_bank, camera_table("top", small_good, fps=5))).ready()
    line = ForwardedLine(plant="test", name="line", verdicts=f"ipc://{daemon.runtime_dir}/verdicts.sock")
    comparison = Comparison(line, line.names)
    items = some("line", 60)  # of an epoch that the line no longer keeps

    async def compare(servers: Servers) -> tuple[int, int]:
        assert [each async for each in comparison.missing(servers, await comparison.spans(servers))] == []
        return comparison.gone, comparison.doubles

    async def write(servers: Servers) -> None:
        await send(servers, line.names, [*items[:2], *items[3:50]])
        await send(servers, line.names, [items[2]], is_repair=True)
        await servers.js.publish(line.names.subject(items[0]), b"nobody's")
        await send(servers, line.names, [items[50]])

    cluster.as_user("line", write)
    assert [cluster.as_user("line", compare) for _ in range(2)] == [(0, 0)] * 2
    shorter = cluster.info(line.names.stream).config.evolve(max_msgs=30)
    cluster.as_user("administrator", lambda servers: servers.js.update_stream(shorter))
    until(lambda: cluster.info(line.names.stream).state.messages == 30)
    assert [cluster.as_user("line", compare) for _ in range(2)] == [(0, 0)] * 2
    cluster.as_user("line", lambda servers: send(servers, line.names, items[51:55]))
    assert cluster.as_user("line", compare) == (0, 0)
    assert sum(record.getMessage() == "epoch_searched" for record in caplog.records) <= 2
    cluster.as_user("line", lambda servers: send(servers, line.names, items[57:]))
    assert cluster.as_user("line", compare) == (2, 0)


def test_a_line_before_the_streams_last_epoch_is_behind_with_all_of_its_own(
    start_daemon, stub_bank, small_good
) -> None:
    daemon = start_daemon(settings(stub_bank, camera_table("top", small_good, fps=20))).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 20)
    line = ForwardedLine(plant="test", name="line", verdicts=f"ipc://{daemon.runtime_dir}/verdicts.sock")
    ahead = Position(daemon.reader.verdicts[-1].epoch + 1, 5)
    found = asyncio.run(distance(line, ahead))
    assert found.backlog_seconds == pytest.approx(found.kept_seconds, abs=0.01) != 0
