"""docs/gateways/modbus.md against the gateway: its tables are what a PLC was programmed by."""

from __future__ import annotations

import asyncio
import re
import struct
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from pymodbus.client import AsyncModbusTcpClient
from support.plant_side import PlantSide

from inspectd.gateways import metrics
from inspectd.gateways.line_link import LineLink
from inspectd.gateways.modbus.gateway import PlantRegisters
from inspectd.gateways.modbus.metrics import ModbusCollector
from inspectd.gateways.modbus.server import _MOST_UNREAD_BYTES, HALF_SENT_SECONDS, ModbusServer
from inspectd.gateways.modbus.settings import ModbusConfig, ModbusSettings
from inspectd.gateways.parts import GRACE_SECONDS
from inspectd.gateways.registers import (
    CONTROL,
    FORMATS,
    STATUS,
    ControlBit,
    LineBit,
    StatusBit,
    status_words,
    value_of,
)
from inspectd.gateways.results import MOST_WAITING

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gateways" / "modbus.md").read_text(encoding="utf-8")
KINDS = {
    "bits16": "H",
    "uint16": "H",
    "uint32": "I",
    "int32": "i",
    "int64": "q",
    "float32": "f",
    "ascii32": "32s",
}


def rows(after: str, heading: str) -> list[list[str]]:
    table = PAGE.split(after, 1)[1].split(f"| {heading} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]


CONTROL_ROWS = rows("Control block, written by the PLC:", "Word")
STATUS_ROWS = rows("Status block, read by the PLC:", "Word")


def value_for(kind: str, number: int) -> int | float | bytes:
    """A value that no other register has, with a bit in every word."""
    match kind:
        case "uint32":
            return (0x4000 + number) << 16 | 0x2000 + number
        case "int32":
            return -(0x0100_0000 + number)
        case "int64":
            return -(0x0102_0304_0506_0700 + number)
        case "float32":
            return number + 0.5
        case "ascii32":
            return f"part {number}".encode().ljust(32, b"\0")
    return 0x1000 + number


class OneImage:
    """Serves a status block with a value of its own in every register; keeps what is written."""

    def __init__(self) -> None:
        values = {register.name: value_for(register.kind, register.word) for register in STATUS}
        self.words = [0] * 100 + status_words(values)

    def read(self, first: int, count: int) -> list[int]:
        return self.words[first : first + count]

    def write(self, first: int, words: list[int]) -> None:
        self.words[first : first + len(words)] = words

    def writer_lost(self) -> None:
        """Words stay as they are."""


async def served(bank: OneImage) -> tuple[ModbusServer, AsyncModbusTcpClient]:
    server = ModbusServer(bank, ModbusSettings(port=0), lambda: 0.0)
    await server.start()
    client = AsyncModbusTcpClient("127.0.0.1", port=server.port)
    await client.connect()
    return server, client


def test_every_register_is_where_the_page_says_and_of_its_type() -> None:
    """Read by a client of another code base, by nothing but the page's words and types."""

    async def test() -> None:
        bank = OneImage()
        server, client = await served(bank)
        for word, name, kind, _ in STATUS_ROWS:
            size = struct.calcsize(f">{KINDS[kind]}") // 2
            for read in (client.read_holding_registers, client.read_input_registers):
                found = (await read(int(word), count=size)).registers
                value = struct.unpack(f">{KINDS[kind]}", struct.pack(f">{size}H", *found))[0]
                assert value == value_for(kind, int(word)), name
        for word, name, kind, _ in CONTROL_ROWS:
            packed = struct.pack(f">{KINDS[kind]}", value_for(kind, int(word)))
            await client.write_registers(int(word), list(struct.unpack(f">{len(packed) // 2}H", packed)))
            assert value_of(bank.words[:64], name) == value_for(kind, int(word)), name
        client.close()
        await server.close()

    asyncio.run(test())


@pytest.mark.parametrize(("listed", "declared"), [(CONTROL_ROWS, CONTROL), (STATUS_ROWS, STATUS)])
def test_the_page_lists_every_register(listed: list, declared: tuple) -> None:
    assert [(int(word), name, kind) for word, name, kind, _ in listed] == [
        (register.word, register.name, register.kind) for register in declared
    ]
    assert {kind for _, _, kind, _ in listed} <= KINDS.keys() == FORMATS.keys()


def test_no_register_lies_on_another() -> None:
    words = [
        register.word + at
        for register in (*CONTROL, *STATUS)
        for at in range(struct.calcsize(FORMATS[register.kind]) // 2)
    ]
    assert len(words) == len(set(words))


def places(heading: str) -> set[int]:
    return {1 << int(bit) for bit, *_ in rows("## 1. Registers", heading) if bit.isdigit()}


def test_the_page_lists_every_bit() -> None:
    assert places("Bit of word 0") == {*ControlBit} - {ControlBit.BUFFER_RESULTS}
    assert places("Bit of word 100") == {*StatusBit}
    assert places("Bit of word 109") == {*LineBit}


def test_values_keep_their_size() -> None:
    words = status_words({"latency": 2**40, "margin": -(2**40), "error": -5, "seq": 2**32 - 1})
    assert words[24:28] == [0xFFFF, 0xFFFF, 0x8000, 0]
    assert (words[3], words[34:36]) == (0, [0xFFFF, 0xFFFF])


def test_the_page_lists_every_metric() -> None:
    side = PlantSide()
    settings = ModbusConfig()
    link = LineLink(settings.line, settings.handshake, side.handshake, lambda: 0.0)
    bank = PlantRegisters(side.handshake, link.take, lambda: 0.0, lambda: 0.0)
    server = ModbusServer(bank, settings.modbus, lambda: 0.0)
    text = generate_latest(metrics.registry(ModbusCollector(side.handshake, link, server))).decode()
    served_kinds = {
        name: kind
        for name, kind in re.findall(r"# TYPE (inspectd_\w+) (\w+)", text)
        if "_created" not in name
    }
    labels = {
        name: set(re.findall(r"(\w+)=", found))
        for name, found in re.findall(r"^(inspectd_\w+)\{(.+?)\} ", text, re.MULTILINE)
    }
    listed = {
        name: (kind, set(re.findall(r"\w+", found)))
        for name, kind, found, _ in rows("## 7. Limits", "Metric")
    }
    assert {name: kind for name, (kind, _) in listed.items()} == served_kinds
    assert {name: found for name, (_, found) in listed.items() if found} == labels


def test_numbers_that_the_page_names_are_those_of_the_code() -> None:
    assert f"the latest {GRACE_SECONDS * 1000:.0f} ms after its deadline" in PAGE
    assert f"| half a request | {HALF_SENT_SECONDS:g} s |" in PAGE
    assert f"| {_MOST_UNREAD_BYTES // 1024} KiB |" in PAGE
    assert f"not acknowledged, {MOST_WAITING} at most" in PAGE
    assert f"`max_connections` ({ModbusSettings().max_connections})" in PAGE
    assert f"`idle_seconds` ({ModbusSettings().idle_seconds:g})" in PAGE


def test_files_it_names_exist() -> None:
    for path in re.findall(r"(?<![\w/])(?:systemd|docs)/[\w./@-]+", PAGE):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((\.\./[\w./-]+)", PAGE):
        assert (ROOT / "docs" / "gateways" / path).resolve().exists(), path
