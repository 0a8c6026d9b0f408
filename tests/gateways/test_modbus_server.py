"""The Modbus server against clients that send rubbish, nothing, or everything at once."""

from __future__ import annotations

import asyncio
import random
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.plant_side import PlantSide

from inspectd.gateways.modbus.gateway import PlantRegisters
from inspectd.gateways.modbus.server import HALF_SENT_SECONDS, CutReason, ModbusServer, _address
from inspectd.gateways.modbus.settings import ModbusSettings
from inspectd.gateways.registers import ControlBit, LineBit

READ = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 100, 40)
ANSWER_BYTES = 9 + 80


class ServedHandshake:
    """A server on a hand-shake whose clock the test moves."""

    def __init__(self, **settings: Any) -> None:
        self.side = PlantSide()
        self.writers: list[asyncio.StreamWriter] = []
        bank = PlantRegisters(self.side.handshake, lambda _: None, self.clock, self.clock)
        self.server = ModbusServer(bank, ModbusSettings(port=0, **settings), self.clock)

    def clock(self) -> float:
        return self.side.now

    async def connect(self, host: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        local = None if host is None else (host, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, local_addr=local)
        self.writers.append(writer)
        return reader, writer

    async def sound(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """A good request gets its answer."""
        writer.write(READ)
        async with asyncio.timeout(5):
            return len(await reader.readexactly(ANSWER_BYTES)) == ANSWER_BYTES


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[ServedHandshake]:
    served = ServedHandshake(**settings)
    await served.server.start()
    try:
        yield served
    finally:
        await served.server.close()
        for writer in served.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def closed(reader: asyncio.StreamReader) -> bool:
    """The server ends the connection."""
    try:
        async with asyncio.timeout(5):
            while await reader.read(65_536):
                pass
    except ConnectionError:
        pass
    return True


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_requests_in_one_packet_and_in_single_bytes() -> None:
    async def test() -> None:
        async with serving() as served:
            reader, writer = await served.connect()
            writer.write(READ * 100)
            assert len(await reader.readexactly(100 * ANSWER_BYTES)) == 100 * ANSWER_BYTES
            for byte in READ:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.readexactly(ANSWER_BYTES)
            assert answer[:9] == struct.pack(">HHHBBB", 1, 0, 83, 1, 3, 80)
            assert served.server.requests["read_holding_registers", "ok"] == 101

    run(test)


def test_ten_thousand_malformed_frames_cost_nothing() -> None:
    chance = random.Random(17)

    def frame() -> bytes:
        kind = chance.randrange(5)
        data = chance.randbytes(chance.randrange(1, 40))
        if kind == 0:
            return data
        header = struct.pack(">HHHB", chance.randrange(65_536), 0, len(data) + 1, 1)
        if kind == 1:  # a length that lies
            return struct.pack(">HHHB", 1, 0, chance.choice([0, 1, 255, 65_535]), 1) + data
        if kind == 2:
            return struct.pack(">HHHB", 1, chance.randrange(1, 65_536), len(data) + 1, 1) + data
        return header + data  # a request of any kind

    async def test() -> None:
        async with serving(max_connections=4) as served:
            reader, writer = await served.connect()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for sent in range(10_000):
                if writer.is_closing() or reader.at_eof():
                    writer.close()
                    served.side.now += 1.1
                    reader, writer = await served.connect()
                writer.write(frame())
                if sent % 20 == 0:
                    await asyncio.sleep(0)
            writer.close()
            served.side.now += 100
            served.server.sweep()
            await until(lambda: not served.server.connections)
            assert await served.sound(*await served.connect())
            assert served.server.cuts[CutReason.NOT_MODBUS] > 100
            grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            assert grown_mb < 20
            assert served.side.handshake.is_online is False

    run(test)


def test_a_port_scan_and_strangers_are_closed_before_anything_is_read() -> None:
    async def test() -> None:
        async with serving(plc="127.0.0.2", readers=("127.0.0.3",)) as served:
            for _ in range(200):
                with socket.create_connection(("127.0.0.1", served.server.port)):
                    await asyncio.sleep(0)
            reader, writer = await served.connect()
            writer.write(READ)
            assert await closed(reader)
            await until(lambda: served.server.cuts[CutReason.PEER] == 201)
            assert not served.server.requests
            assert await served.sound(*await served.connect("127.0.0.2"))
            assert await served.sound(*await served.connect("127.0.0.3"))

    run(test)


def test_half_a_request_and_silence_have_an_end() -> None:
    async def test() -> None:
        async with serving(idle_seconds=30) as served:
            half, idle, busy = [await served.connect() for _ in range(3)]
            half[1].write(READ[:5])
            await until(lambda: any(c.is_within_request for c in served.server.connections))
            served.side.now += HALF_SENT_SECONDS + 0.1
            served.server.sweep()
            assert await closed(half[0])
            assert served.server.cuts == {CutReason.HALF_SENT: 1}
            served.side.now += 25
            assert await served.sound(*busy)
            served.side.now += 10
            served.server.sweep()
            assert await closed(idle[0])
            assert served.server.cuts == {CutReason.HALF_SENT: 1, CutReason.IDLE: 1}
            assert await served.sound(*busy)

    run(test)


def test_a_request_that_trickles_in_is_cut_off_too() -> None:
    async def test() -> None:
        async with serving() as served:
            reader, writer = await served.connect()
            for byte in READ[:-1]:
                writer.write(bytes((byte,)))
                await until(
                    lambda: served.server.cuts or any(c.is_within_request for c in served.server.connections)
                )
                served.side.now += 0.5
                served.server.sweep()
            assert await closed(reader)
            assert served.server.cuts == {CutReason.HALF_SENT: 1}

    run(test)


def test_connections_have_a_limit_and_a_plc_that_comes_back_finds_room() -> None:
    async def test() -> None:
        async with serving(max_connections=3) as served:
            held = [await served.connect() for _ in range(3)]
            await until(lambda: len(served.server.connections) == 3)
            late = await served.connect()
            assert await closed(late[0])
            assert served.server.cuts == {CutReason.LIMIT: 1}
            served.side.now += 1.5
            assert await served.sound(*held[2])
            assert await served.sound(*await served.connect())
            assert served.server.cuts == {CutReason.LIMIT: 1, CutReason.REPLACED: 1}
            assert await served.sound(*held[2])

    run(test)


def test_no_reader_keeps_the_plc_out_or_takes_its_place() -> None:
    async def test() -> None:
        async with serving(max_connections=2, readers=["127.0.0.2"]) as served:
            panels = [await served.connect("127.0.0.2") for _ in range(2)]
            for panel in panels:
                assert await served.sound(*panel)
            plc = await served.connect()
            assert await served.sound(*plc)
            assert await closed(panels[0][0])
            served.side.now += 10.0  # the PLC is silent, and the panel that is left is not
            assert await served.sound(*panels[1])
            another = await served.connect("127.0.0.2")
            assert await closed(another[0])
            assert await served.sound(*plc)
            assert served.server.cuts == {CutReason.REPLACED: 1, CutReason.LIMIT: 1}

    run(test)


def test_who_takes_no_answers_is_cut_off_and_holds_up_nobody() -> None:
    async def test() -> None:
        async with serving() as served:
            narrow = socket.socket()
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.connect(("127.0.0.1", served.server.port))
            _, greedy = await asyncio.open_connection(sock=narrow)
            greedy.transport.pause_reading()  # type: ignore[attr-defined]
            good = await served.connect()
            for number in range(20_000):
                if CutReason.UNREAD in served.server.cuts:
                    break
                greedy.write(READ * 200)
                await asyncio.sleep(0)
                if not number % 20:
                    assert await served.sound(*good)
            assert served.server.cuts == {CutReason.UNREAD: 1}
            greedy.close()

    run(test)


def test_what_an_older_connection_still_brings_is_not_written() -> None:
    """A network that held it back: the PLC has given that connection up, and another part is there by now."""

    async def test() -> None:
        async with serving() as served:
            write = struct.pack(">HHHBBH", 1, 0, 6, 1, 6, 9)
            never_wrote, old, new = [await served.connect() for _ in range(3)]
            for reader, writer in (old, new):
                writer.write(write + struct.pack(">H", 100 + served.server.cuts[CutReason.SUPERSEDED]))
                assert len(await reader.readexactly(12)) == 12
            assert await closed(old[0])
            assert served.server.cuts == {CutReason.SUPERSEDED: 1}
            assert await served.sound(*never_wrote)
            never_wrote[1].write(write + b"\0\7")
            assert await closed(never_wrote[0])
            assert served.side.handshake.read(9, 1, served.side.now) == [100]
            assert await served.sound(*new)

    run(test)


@pytest.mark.parametrize("plant_seconds", [None, 1.0])
def test_an_announced_golden_part_falls_with_the_connection_of_a_plant_without_a_heartbeat(
    plant_seconds: float | None,
) -> None:
    async def test() -> None:
        async with serving() as served:
            served.side = side = PlantSide(golden_parts={3: "crack-1"}, plant_seconds=plant_seconds)
            served.server.bank = PlantRegisters(side.handshake, lambda _: None, served.clock, served.clock)
            side.alive()
            (_, reading), (reader, writer) = await served.connect(), await served.connect()
            words = [1 | ControlBit.EXECUTE, 1, *[0] * 8, 4, 3]
            for control in (1, words[0]):
                writer.write(struct.pack(">HHHBBHHB12H", 1, 0, 31, 1, 16, 0, 12, 24, control, *words[1:]))
                assert len(await reader.readexactly(12)) == 12
            reading.close()
            await until(lambda: len(served.server.connections) == 1)
            assert side.value("line") & LineBit.GOLDEN_NEXT
            writer.close()
            await until(lambda: not served.server.connections)
            assert bool(side.value("line") & LineBit.GOLDEN_NEXT) == (plant_seconds is not None)

    run(test)


def test_a_read_is_of_one_moment() -> None:
    async def test() -> None:
        async with serving() as served:
            served.side.online()
            reader, writer = await served.connect()
            for _ in range(50):
                served.side.judge(served.side.taken()[1])
                writer.write(READ)
                answer = await reader.readexactly(ANSWER_BYTES)
                words = struct.unpack(">40H", answer[9:])
                assert words[16:18] == words[6:8]
                assert (words[20], words[21]) == (1, words[17] ^ 0xA55A)
                served.side.control(9)
                served.side.control(1)

    run(test)


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "127.0.0.1"])
def test_an_address_is_the_same_in_either_notation(address: str) -> None:
    assert str(_address((address, 502))) == "127.0.0.1"
    assert _address(None) is None


def test_a_client_that_goes_without_its_answers_fills_no_log(caplog) -> None:
    async def go() -> None:
        async with serving() as served:
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", served.server.port)) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.sendall(READ * 1000)
                await asyncio.sleep(0.01)
            await until(lambda: not served.server.connections)
            assert served.server.requests

    run(go)
    assert not caplog.records
