"""docs/gateways/s7.md against the gateway: its tables are what a PLC was programmed by."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from snap7 import util
from support.plant_side import PlantSide

from inspectd.gateways import metrics
from inspectd.gateways.line_link import LineLink
from inspectd.gateways.parts import GRACE_SECONDS
from inspectd.gateways.registers import (
    CONTROL,
    FORMATS,
    STATUS,
    ControlBit,
    Register,
    StatusBit,
    status_words,
    value_of,
)
from inspectd.gateways.results import MOST_WAITING
from inspectd.gateways.s7.image import ANSWER_KEY_WORD, WRITER_WORD, control_words, status_bytes
from inspectd.gateways.s7.metrics import S7Collector
from inspectd.gateways.s7.plc import AGAIN_SECONDS, S7Link
from inspectd.gateways.s7.settings import S7Config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gateways" / "s7.md").read_text(encoding="utf-8")
ANSWER_KEY = Register("answer_key", ANSWER_KEY_WORD, "uint16")
WRITER = Register("writer", WRITER_WORD, "uint32")
TYPES: dict[str, tuple[str, Callable[[bytes, int], object]]] = {
    "WORD": ("bits16", util.get_word),
    "UINT": ("uint16", util.get_uint),
    "UDINT": ("uint32", util.get_udint),
    "DINT": ("int32", util.get_dint),
    "LINT": ("int64", util.get_lint),
    "REAL": ("float32", util.get_real),
    "Array [0..31] of CHAR": ("ascii32", lambda data, at: bytes(data[at : at + 32])),
}
"""Types of the page: those of the registers, and how the library reads them out of a data block."""


def rows(after: str, heading: str) -> list[list[str]]:
    table = PAGE.split(after, 1)[1].split(f"| {heading} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]


CONTROL_ROWS = rows("Control block, `control_db`", "Address")
STATUS_ROWS = rows("Status block, `status_db`", "Address")


def byte_of(address: str, kind: str) -> int:
    """The byte of an address whose letter is right for the type."""
    letter = {2: "W", 4: "D"}.get(struct.calcsize(FORMATS[kind]), "B")
    (byte,) = re.fullmatch(rf"DB{letter}(\d+)", address).groups()
    return int(byte)


@pytest.mark.parametrize(
    ("listed", "declared", "first"),
    [
        (CONTROL_ROWS, CONTROL, 0),
        (STATUS_ROWS, sorted([*STATUS, ANSWER_KEY, WRITER], key=lambda each: each.word), 100),
    ],
)
def test_the_page_lists_every_register(listed: list, declared: list, first: int) -> None:
    assert [
        (byte_of(address, TYPES[kind][0]), name, TYPES[kind][0]) for address, name, kind, _ in listed
    ] == [(2 * (register.word - first), register.name, register.kind) for register in declared]


def value_for(kind: str, at: int) -> int | float | bytes:
    """A value that no other register has, with a bit in every word."""
    match kind:
        case "UDINT":
            return (0x4000 + at) << 16 | 0x2000 + at
        case "DINT" | "LINT":
            return -(0x0100_0000 + at)
        case "REAL":
            return at + 0.5
    return f"part {at}".encode().ljust(32, b"\0") if "CHAR" in kind else 0x1000 + at


def test_the_library_finds_every_value_where_the_page_says() -> None:
    values = {name: value_for(kind, at) for at, (_, name, kind, _) in enumerate(STATUS_ROWS)}
    block = status_bytes(
        status_words({k: v for k, v in values.items() if k not in {"answer_key", "writer"}} | {"answer": 1})[
            :40
        ],
        values["writer"],
    )
    values |= {
        "answer": 1,
        "answer_key": values["answered_number"] ^ values["acquisition_id"] & 0xFFFF ^ 0xA55A,
    }
    for address, name, kind, _ in STATUS_ROWS:
        assert TYPES[kind][1](block, byte_of(address, TYPES[kind][0])) == values[name], name
    block = bytearray(68)
    for at, (address, _, kind, _) in enumerate(CONTROL_ROWS):
        packed = struct.pack(FORMATS[TYPES[kind][0]], value_for(kind, at))
        struct.pack_into(f"{len(packed)}s", block, byte_of(address, TYPES[kind][0]), packed)
    for at, (_, name, kind, _) in enumerate(CONTROL_ROWS[1:], 1):
        assert value_of(control_words(block), name) == value_for(kind, at), name


def test_the_answer_key_is_of_an_accepted_trigger_alone() -> None:
    values = {"acquisition_id": 70_000, "answered_number": 17}
    for answer in (0, 2):
        assert status_bytes(status_words(values | {"answer": answer})[:40], 1)[24:26] == b"\0\0"


def bits(after: str) -> set[int]:
    """The bits of a table, as the library finds them in a data block."""
    found = set()
    for address, *_ in rows(after, "Bit"):
        for byte, bit in re.findall(r"DBX(\d)\.(\d)", address):
            block = bytearray(2)
            util.set_bool(block, int(byte), int(bit), True)
            found.add(int.from_bytes(block, "big"))
    return found


def test_the_page_lists_every_bit() -> None:
    by_edge = {ControlBit.BUFFER_RESULTS, ControlBit.TRIGGER, ControlBit.RESULTS_ACK}
    assert bits("Control block, `control_db`") == {*ControlBit} - by_edge
    assert bits("Status block, `status_db`") | {1 << 5} == (
        {*StatusBit} - {StatusBit.TRIGGER_ACK, StatusBit.MISSED} | {1 << 4, 1 << 5, 1 << 6}
    )


def test_the_page_lists_every_metric_of_its_own() -> None:
    side, settings = PlantSide(), S7Config()
    link = LineLink(settings.line, settings.handshake, side.handshake, lambda: 0.0)
    plc = S7Link(side.handshake, link.take, settings.s7, lambda: 0.0)
    text = generate_latest(metrics.registry(S7Collector(side.handshake, link, plc))).decode()
    kinds = dict(re.findall(r"# TYPE (inspectd_gateway_s7_\w+) (\w+)", text))
    listed = rows("## 7. Limits", "Metric")
    assert {name: kind for name, kind, *_ in listed} == kinds
    ((_, _, label, meaning),) = [row for row in listed if row[2]]
    assert set(re.findall(rf'inspectd_gateway_s7_lost_total{{{label}="(\w+)"}}', text)) == set(
        re.findall(r"`(\w+)`", f"`{meaning}`")
    )


def test_numbers_that_the_page_names_are_those_of_the_code() -> None:
    settings = S7Config()
    assert f"`control_db` (DB{settings.s7.control_db}), 68 bytes" in PAGE
    assert f"`status_db` (DB{settings.s7.status_db}), 80 bytes" in PAGE
    assert f"`poll_ms` ({settings.s7.poll_ms:g})" in PAGE
    assert f"`timeout_ms` ({settings.s7.timeout_ms:g})" in PAGE
    assert f"| after a lost connection | {AGAIN_SECONDS:g} s |" in PAGE
    assert f"`metrics.port` ({settings.metrics.port})" in PAGE
    assert f"the latest {GRACE_SECONDS * 1000:.0f} ms after its deadline" in PAGE
    assert f"not acknowledged, {MOST_WAITING} at most" in PAGE


def test_files_it_names_exist() -> None:
    for path in re.findall(r"(?<![\w/])(?:systemd|docs)/[\w./@-]+", PAGE):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((\.\.?/?[\w./-]+)", PAGE):
        assert (ROOT / "docs" / "gateways" / path).resolve().exists(), path


def test_it_is_said_to_be_beta() -> None:
    assert "**Beta.**" in PAGE
