"""What a stream lacks and what it has twice are two things."""

from __future__ import annotations

import asyncio

import pytest
from support.daemon import camera_table, settings
from support.hub_lines import publish as send
from support.hub_lines import some

from inspectd.fleet.forward.comparison import Comparison
from inspectd.fleet.forward.line_side import distance
from inspectd.fleet.servers import Servers
from inspectd.fleet.settings import ForwardedLine
from inspectd.wire.sync import Position

pytestmark = pytest.mark.system  # NATS is no part of the project


def test_verdicts_that_are_there_twice_hide_none_that_is_gone(
    start_daemon, stub_bank, good_folder, cluster
) -> None:
    daemon = start_daemon(settings(stub_bank, camera_table("top", good_folder, fps=5))).ready()
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


def test_a_line_before_the_streams_last_epoch_is_behind_with_all_of_its_own(
    start_daemon, stub_bank, good_folder
) -> None:
    daemon = start_daemon(settings(stub_bank, camera_table("top", good_folder, fps=20))).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 20)
    line = ForwardedLine(plant="test", name="line", verdicts=f"ipc://{daemon.runtime_dir}/verdicts.sock")
    ahead = Position(daemon.reader.verdicts[-1].epoch + 1, 5)
    found = asyncio.run(distance(line, ahead))
    assert found.backlog_seconds == pytest.approx(found.kept_seconds, abs=0.01) != 0
