"""A broker that passes everything on but one part, as one with a limit or a filter of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from support.daemon import Daemon, camera_table, settings
from support.sparkplug_host import decode

from inspectd.client import cursor as cursors

pytestmark = pytest.mark.system  # Mosquitto is no part of the project


@pytest.fixture(scope="module")
def line(start_shared_daemon, stub_bank, small_good) -> Daemon:
    return start_shared_daemon(settings(stub_bank, camera_table("top", small_good, fps=10))).ready()


class Filter:
    """A hop before a broker that leaves out one part of each hundred, always the same ones."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.dropped: list[int] = []
        """Its number, every time."""
        self._seq_alias: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),))
        self._thread.start()
        assert self._is_up.wait(5)

    def close(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._is_up.set()
            await self._stopping.wait()

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_connection("127.0.0.1", self._to)
        ways = [asyncio.ensure_future(way) for way in (self._up(near, to_far), self._down(far, to_near))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (to_near, to_far):
                writer.transport.abort()

    async def _up(self, near: asyncio.StreamReader, to_far: asyncio.StreamWriter) -> None:
        async for kind, packet, body in packets(near):
            if kind != 3 or not self._is_left_out(body):
                to_far.write(packet)

    async def _down(self, far: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        while data := await far.read(65_536):
            to_near.write(data)

    def _is_left_out(self, body: bytes) -> bool:
        end = 2 + int.from_bytes(body[:2])
        topic = body[2:end].decode()
        if topic.endswith("BIRTH/line1/parts"):
            (self._seq_alias,) = (each.alias for each in decode(body[end:]).metrics if each.name == "Seq")
        if not topic.endswith("DDATA/line1/parts"):
            return False
        (seq,) = (each.long_value for each in decode(body[end:]).metrics if each.alias == self._seq_alias)
        if seq % 100 == 50:
            self.dropped.append(seq)
        return seq % 100 == 50


async def packets(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes, bytes]]:
    """Each MQTT packet: its kind, all of it, and what follows its length."""
    while True:
        head = await reader.readexactly(1)
        length = shift = 0
        while True:
            head += await reader.readexactly(1)
            length |= (head[-1] & 127) << shift
            shift += 7
            if head[-1] < 128:
                break
        body = await reader.readexactly(length)
        yield head[0] >> 4, head + body, body


@pytest.fixture
def broker(plant) -> Iterator[Filter]:
    made = Filter(plant.broker().port)
    yield made
    made.close()


def test_a_part_that_is_always_dropped_is_given_up_and_holds_nothing_up(line, plant, broker) -> None:
    gateway = plant.gateway(line, broker)
    gateway.until_logged("parts_given_up", 30)
    (seq,) = set(broker.dropped)
    assert len(broker.dropped) == 3
    cursor = gateway.file.parent / "state/cursor"
    line.until(lambda: cursors.read(cursor).position.seq > seq + 20, 20)
    assert gateway.stop() == 0
    said = gateway.log.read_text()
    assert said.count("parts_told_again") == 2
    assert f":{seq} " in said[said.index("parts_given_up") :], "which part it was"
    assert len(broker.dropped) == 3, "it went on behind it"
