"""What a line's key may not do: refused by the servers, seen in their logs, counted for Prometheus."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest
from nats.js import api
from prometheus_client import CollectorRegistry
from support.nats_cluster import CONFIG, NatsCluster

from inspectd.fleet.forward.extras import ExtrasQueue, send_extras
from inspectd.fleet.forward.metrics import ForwardMetrics
from inspectd.fleet.keys import new_key
from inspectd.fleet.servers import DeniedError, NotThereError, Servers, ServersDoor, ServersError
from inspectd.fleet.settings import PlantServers
from inspectd.fleet.streams import end_of
from inspectd.wire.sync import Position

pytestmark = pytest.mark.system  # NATS is no part of the project

FORBIDDEN = {
    "another line's verdict": lambda js: js.publish("i1.test.other.v.1.top", b"{}", timeout=2),
    "another line's heatmap": lambda js: js.publish("i1.test.other.h.top", b"{}", timeout=2),
    "a recipe": lambda js: js.publish("recipes.cells", b"{}", timeout=2),
    "what a line is to run": lambda js: js.publish("$KV.desired.other", b"{}", timeout=2),
    "a stream of its own": lambda js: js.add_stream(api.StreamConfig(name="MINE", subjects=["mine"])),
    "its own stream changed": lambda js: js.update_stream(api.StreamConfig(name="V+test+line")),
    "its own stream removed": lambda js: js.delete_stream("V+test+line"),
    "its own stream emptied": lambda js: js.purge_stream("V+test+line"),
    "what another stream has": lambda js: js.get_msg("V+test+other", seq=1),
    "how another stream is": lambda js: js.stream_info("V+test+other"),
    "a consumer": lambda js: js.pull_subscribe("i1.test.other.>", stream="V+test+other"),
    "a consumer of its own": lambda js: js.pull_subscribe("i1.test.line.>", stream="V+test+line"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_it_is_refused(cluster: NatsCluster, what: str) -> None:
    denied: list[str] = []

    async def attempt() -> None:
        door = ServersDoor(cluster.settings("line"), "_INBOX.test.line", "test", denied.append)
        async with door.connect() as servers:
            await servers.asked(FORBIDDEN[what](servers.js))

    with pytest.raises(DeniedError, match=r"(?i)permissions violation"):
        asyncio.run(attempt())
    assert denied
    assert cluster.info("V+test+other").state.messages == 0


def test_nobody_listens_to_another_line(cluster: NatsCluster) -> None:
    denied: list[str] = []

    async def attempt() -> None:
        door = ServersDoor(cluster.settings("line"), "_INBOX.test.line", "test", denied.append)
        async with door.connect() as servers:
            for subject in ("i1.test.other.>", "_INBOX.test.other.>", "_INBOX.>", ">", "$SYS.>"):
                await servers.js._nc.subscribe(subject)
            async with asyncio.timeout(10):  # the library's flush may overtake what it should flush
                while len(denied) < 5:
                    await asyncio.sleep(0.01)

    asyncio.run(attempt())
    assert len(denied) == 5


def strangers(cluster: NatsCluster, folder: Path) -> PlantServers:
    stranger, _ = new_key(folder / "stranger")
    return msgspec.structs.replace(cluster.settings("line"), seed_file=str(stranger))


def test_an_unknown_key_does_not_get_in(cluster: NatsCluster, tmp_path) -> None:
    async def attempt() -> None:
        async with ServersDoor(strangers(cluster, tmp_path), "_INBOX.test.line", "test").connect():
            pass

    with pytest.raises(ServersError, match="do not know the user U") as caught:
        asyncio.run(attempt())
    assert not caught.value.is_unreachable


def test_why_heatmaps_are_held_up_is_said_once(cluster: NatsCluster, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr("inspectd.fleet.forward.extras._AGAIN_SECONDS", 0.01)
    rounds: list[float] = []

    class CountedDoor(ServersDoor):
        def connect(self) -> AbstractAsyncContextManager[Servers]:
            rounds.append(time.monotonic())
            return super().connect()

    door = CountedDoor(strangers(cluster, tmp_path), "_INBOX.test.line", "test")
    metrics = ForwardMetrics(CollectorRegistry())

    async def attempts() -> None:
        sending = asyncio.create_task(send_extras(door, "H+test+line", ExtrasQueue(1_000, metrics), metrics))
        while len(rounds) < 3:
            await asyncio.sleep(0.05)
        sending.cancel()

    asyncio.run(attempts())
    said = [record for record in caplog.records if record.message == "extras_held_up"]
    assert [record.levelname for record in said] == ["WARNING"]


def test_refusals_are_counted_for_prometheus(cluster: NatsCluster, tmp_path) -> None:
    test_it_is_refused(cluster, "a recipe")
    file = tmp_path / "nats_refusals.prom"
    log = b"".join(cluster.log(index).read_bytes() for index in range(3))
    subprocess.run([CONFIG / "count-refusals.sh", file], input=log, check=True)
    counts = dict(line.rsplit(" ", 1) for line in file.read_text().splitlines() if not line.startswith("#"))
    assert int(counts['inspectd_nats_refusals{what="publish"}']) >= 1
    assert set(counts) == {
        f'inspectd_nats_refusals{{what="{what}"}}' for what in ("publish", "subscribe", "connect")
    }
    assert [*tmp_path.glob("*.prom.*")] == []


def test_words_of_an_acknowledgement_in_another_lines_stream_are_looked_past(cluster: NatsCluster) -> None:
    """What no permission holds off: an acknowledgement goes to the subject that a message names for it."""

    async def forge(servers: Servers) -> None:
        await servers.js._nc.publish("i1.test.line.v.1.top", b"{}", reply="i1.test.other.v.9.top")
        await servers.js._nc.flush()

    async def own(servers: Servers) -> None:
        await servers.js.publish("i1.test.other.v.8.top", b"{}", headers={"Nats-Msg-Id": "8:1"})

    cluster.as_user("other", own)
    cluster.as_user("line", forge)
    deadline = time.monotonic() + 10
    while cluster.info("V+test+other").state.messages < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    end = cluster.as_user("other", lambda servers: end_of(servers, cluster.lines["other"]))
    assert (end.position, end.last_sequence, end.foreign) == (Position(8, 1), 2, 1)


def test_what_is_not_there_is_said(cluster: NatsCluster) -> None:
    async def attempt() -> None:
        door = ServersDoor(cluster.settings("line"), "_INBOX.test.line", "test")
        async with door.connect() as servers:
            await servers.asked(servers.js.get_msg("V+test+line", seq=10**6))

    with pytest.raises(NotThereError):
        asyncio.run(attempt())
