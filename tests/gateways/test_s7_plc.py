"""The S7 gateway's side of the PLC, against python-snap7's server, without a line."""

from __future__ import annotations

import asyncio
import itertools
import random
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.plant_side import EPOCH, PlantSide, accepted
from support.s7 import S7Plc

from inspectd.cli import main
from inspectd.cli.gateway import example
from inspectd.errors import ExitCode
from inspectd.gateways.handshake import Handshake, LineSeen, Order
from inspectd.gateways.parts import PlantTrigger
from inspectd.gateways.registers import OfflineReason
from inspectd.gateways.s7 import other_writer
from inspectd.gateways.s7.image import control_words
from inspectd.gateways.s7.other_writer import OtherWriter
from inspectd.gateways.s7.plc import PlcLostReason, S7Link
from inspectd.gateways.s7.settings import S7Settings, load


class LineOfOne:
    """A hand-shake with a line that takes every trigger, and the link to a PLC in this process."""

    def __init__(self, plc: int, **settings: object) -> None:
        self.orders: list[Order] = []
        self.handshake = Handshake(
            plant_seconds=0.5, pass_hold_seconds=2.0, recipes={1: "one", 2: "two"}, first_acquisition=70_000
        )
        where = S7Settings(**{"host": "127.0.0.1", "port": plc, "poll_ms": 2} | settings)
        self.link = S7Link(self.handshake, self._take, where, time.monotonic)

    def _take(self, order: Order) -> None:
        self.orders.append(order)
        assert isinstance(order, PlantTrigger)
        self.handshake.accepted(order, accepted(order), time.monotonic())

    async def until(
        self, condition: Callable[[], object], cycle: Callable[[], object] = lambda: None, seconds: float = 5
    ) -> None:
        """Let it work until something holds."""
        working = asyncio.create_task(self.link.run())
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self.handshake.line_seen(LineSeen(EPOCH), time.monotonic())
                    cycle()
                    await asyncio.sleep(0.001)
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working


def test_two_gateways_for_one_block_notice_each_other_and_neither_shows_a_result(caplog, monkeypatch) -> None:
    monkeypatch.setattr(other_writer, "SILENCE_SECONDS", 4.0)  # longer than a connection is away
    plc, shown = S7Plc(Travel=100), list[bool]()
    first, second = LineOfOne(plc.port), LineOfOne(plc.port, poll_ms=50)

    def has_noticed() -> bool:
        return first.link.writers.other is not None and second.link.writers.other is not None

    def cycle() -> None:
        plc.cycle(eye=time.monotonic() % 0.2 < 0.1)
        if has_noticed():
            shown.append(plc.is_ready() or bool(plc.status[0] >> 11 & 1))

    async def test() -> None:
        await first.until(lambda: first.orders, cycle, 30)
        working = asyncio.create_task(second.until(lambda: len(shown) > 300, seconds=30))
        await first.until(working.done, cycle, 30)
        assert plc.status[0] >> 4 & 7 == OfflineReason.OTHER_WRITER
        orders = len(first.orders)
        await first.until(lambda: len(first.orders) > orders and not first.link.writers.other, cycle, 30)

    asyncio.run(test())
    plc.close()
    assert second.orders == []
    assert not any(shown[3:])  # what was being written when the later of the two noticed
    said = [record for record in caplog.records if record.getMessage() == "other_writer"]
    assert {record.fields["other"] for record in said} == {each.link.writers.own for each in (first, second)}


def test_a_gateway_is_alone_once_nobody_else_has_written_for_a_while() -> None:
    writers = OtherWriter(7)
    writers.connected(0.0)
    assert not writers.must_look(0.0)  # what is there is from before
    writers.wrote()
    assert writers.must_look(0.0)
    for _ in range(7):
        writers.saw(7, 0.5)
    assert not writers.is_alone(1.0)  # a slow PLC has shown too little of its block by then
    writers.saw(7, 0.5)
    assert not writers.is_alone(0.99)
    assert writers.is_alone(1.0)
    writers.saw(7, 1.0)
    assert not writers.must_look(1.05)
    writers.saw(9, 1.2)
    assert (writers.other, writers.is_alone(1.2), writers.must_look(1.21)) == (9, False, True)
    writers.connected(5.0)
    writers.wrote()
    for _ in range(8):
        writers.saw(7, 11.1)
    assert not writers.is_alone(11.2)
    writers.saw(7, 11.2)
    assert (writers.other, writers.is_alone(11.2)) == (None, True)


class HalfWritten(bytearray):
    """A data block of which, once, only the second half is there when it is read."""

    old = b""

    def __getitem__(self, key):
        found = bytes(super().__getitem__(key))
        if self.old:
            found, self.old = self.old[:40] + found[40:], b""
        return found


def words_of(number: int, recipe: int, beat: int = 0) -> bytes:
    words = [0] * 34
    words[0], words[1], words[8], words[32] = 1, beat, recipe, number
    return struct.pack(">34H", *words)


def test_a_trigger_is_judged_by_what_was_written_before_its_number() -> None:
    block = HalfWritten(68)
    plc = S7Plc(control=block)
    line = LineOfOne(plc.port)
    beats = iter(range(1, 10_000))
    is_new = False

    def cycle() -> None:
        nonlocal is_new
        if not plc.is_ready() and not is_new:
            block[:] = words_of(0, 1, next(beats))
        elif not is_new:
            is_new = True
            block.old, block[:] = bytes(block), words_of(5, 2, next(beats))

    asyncio.run(line.until(lambda: line.orders, cycle))
    plc.close()
    assert [(order.number, order.recipe) for order in line.orders] == [(5, "two")]


def test_a_trigger_that_was_there_while_the_gateway_stood_still_counts_from_its_last_look() -> None:
    block = bytearray(68)
    plc, beats, written_at = S7Plc(control=block), iter(range(1, 10_000)), 0.0
    line = LineOfOne(plc.port)

    def cycle() -> None:
        nonlocal written_at
        if not plc.is_ready() and not written_at:
            block[:] = words_of(0, 1, next(beats))
        elif not written_at:
            written_at = time.monotonic()
            block[:] = words_of(5, 2, next(beats))
            time.sleep(0.3)  # the whole program stands still

    asyncio.run(line.until(lambda: line.orders, cycle))
    plc.close()
    (order,) = line.orders
    assert written_at - 0.2 < order.at <= written_at


ANSWERS = {
    0: bytes.fromhex("03000016 11d00001000100 c0010a c1020100 c2020102"),
    0xF0: bytes.fromhex("0300001b 02f080 32030000 0000 0008 0000 0000 f0000001000100f0"),
    0x04: bytes.fromhex("0300005d 02f080 32030000 0000 0002 0048 0000 0401 ff040220") + words_of(0, 0),
    0x05: bytes.fromhex("03000016 02f080 32030000 0000 0002 0001 0000 0501 ff"),
}
"""What a PLC answers, by function: connection, negotiation, read, write; without the requests' numbers."""


class BrokenPlc(asyncio.Protocol):
    """Answers a number of requests as it should, and the next by anything."""

    def __init__(self, good: int, chance: random.Random) -> None:
        self.good, self.chance, self.step = good, chance, 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        answer = bytearray(ANSWERS[data[17] if self.step else 0])
        if self.step:
            answer[11:13] = data[11:13]
        if self.step == self.good:
            for _ in range(self.chance.randint(1, 4)):
                answer[self.chance.randrange(len(answer))] = self.chance.randrange(256)
            if self.chance.random() < 0.2:
                del answer[self.chance.randrange(len(answer)) :]
        self.step += 1
        self.transport.write(answer)
        if self.step > self.good:
            self.transport.close()


def test_what_is_no_s7_is_counted_and_harms_nothing() -> None:
    chance = random.Random(3)

    async def test() -> None:
        goods = itertools.cycle(range(7))
        server = await asyncio.get_running_loop().create_server(
            lambda: BrokenPlc(next(goods), chance), "127.0.0.1", 0
        )
        line = LineOfOne(server.sockets[0].getsockname()[1], timeout_ms=1000)
        for _ in range(210):
            reason, detail = await line.link._connect_and_serve()
            assert reason in set(PlcLostReason)
            assert detail
            assert not line.handshake.is_online
        assert line.orders == []
        assert line.link.turns > 50
        server.close()

    asyncio.run(test())


def test_a_data_block_that_is_not_there_or_too_short_is_refused() -> None:
    plc = S7Plc(control=bytearray(60))

    async def test() -> None:
        for settings, said in (({}, "Invalid address"), ({"control_db": 7}, "not exist"), ({"port": 1}, "")):
            reason, detail = await LineOfOne(plc.port, **settings).link._connect_and_serve()
            assert reason == ("unreachable" if "port" in settings else "refused")
            assert said in detail

    asyncio.run(test())
    plc.close()


def test_a_plant_that_was_lost_begins_anew() -> None:
    side = PlantSide(plant_seconds=1.0)
    side.alive().write(0, 1, 5)
    assert side.has(0x81)
    side.write(10, 1, 12)
    (order,) = side.write(32, 3) or side.write(32, 4)
    side.judge(side.accept(order))
    assert side.says_pass
    side.handshake.plant_lost(side.now)
    assert side.value("status") >> 4 & 15 == 2
    assert (side.value("inspection_id"), side.value("acquisition_id")) == (0, 0)
    side.write(32, 5)
    assert side.write(0, 17, 9) == []  # no beat, trigger or command: since when they are up, nobody knows
    assert not side.has(0x80)
    side.write(1, 10)
    assert side.has(0x81)
    assert (side.value("answered_number"), side.value("answer")) == (5, 2)


def test_bits_that_could_be_missed_are_none() -> None:
    assert control_words(b"\xff" * 68)[0] == 0xFFFF & ~0b1010


def refused(file: Path, capfd: pytest.CaptureFixture[str]) -> str:
    assert main(["gateway", "s7", "--config", str(file), "--check"]) == ExitCode.BAD_INPUT
    return capfd.readouterr().err


def test_every_problem_of_the_file_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s7.toml"
    file.write_text('[s7]\nslots = 3\nconnection = "tls"\ncontrol_db = 0\n')
    said = refused(file, capfd)
    for name in ("s7.slots: unknown key", "s7.connection", "s7.control_db"):
        assert name in said
    file.write_text(
        "[s7]\ncontrol_db = 5\nstatus_db = 5\npoll_ms = 100\n"
        "[handshake]\nplc_heartbeat = false\nplc_timeout_ms = 200\n"
    )
    said = refused(file, capfd)
    for text in (
        "s7.status_db: got 5, which is s7.control_db, expected another block",
        "handshake.plc_heartbeat: got false",
        "handshake.plc_timeout_ms: got 200, expected at least 5 times s7.poll_ms, 500",
    ):
        assert text in said


def test_the_example_is_a_file_without_problems(tmp_path: Path) -> None:
    file = tmp_path / "s7.toml"
    file.write_text(example("s7"))
    assert load(file).s7 == S7Settings()
