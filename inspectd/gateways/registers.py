"""The register map of the hand-shake. Pure; `docs/gateways/modbus.md` is the table for the plant.

Words are 16 bits; what takes several has its high word first. Bits lie where Cognex In-Sight has them, so
that function blocks of plants fit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

MAP_VERSION: Final = 1
CONTROL_FIRST: Final = 0
STATUS_FIRST: Final = 100
BLOCK_WORDS: Final = 64
PASS_KEY: Final = 0xA55A
"""A pass shows the low word of its InspectionID xor this; nothing else shows a number that fits."""

Value = int | float | bytes


class ControlBit(IntFlag):
    """Bits of the control block's first word, written by the plant."""

    TRIGGER_ENABLE = 1 << 0
    TRIGGER = 1 << 1
    BUFFER_RESULTS = 1 << 2
    """Ignored: results are always kept until they are acknowledged."""
    RESULTS_ACK = 1 << 3
    EXECUTE = 1 << 4
    SET_OFFLINE = 1 << 7
    CLEAR_ERROR = 1 << 9


class StatusBit(IntFlag):
    """Bits of the status block's first word; bits 4 to 6 are an `OfflineReason`."""

    TRIGGER_READY = 1 << 0
    TRIGGER_ACK = 1 << 1
    MISSED = 1 << 3
    ONLINE = 1 << 7
    BUSY = 1 << 8
    COMPLETED = 1 << 9
    """Changes with every result."""
    OVERRUN = 1 << 10
    RESULTS_VALID = 1 << 11
    EXECUTING = 1 << 12
    COMMAND_COMPLETED = 1 << 13
    COMMAND_FAILED = 1 << 14
    ERROR = 1 << 15


OFFLINE_SHIFT: Final = 4


class OfflineReason(IntEnum):
    """Why Online is 0."""

    NONE = 0
    LINE = 1
    """The line is silent, starts or stops."""
    PLANT_HEARTBEAT = 2
    """The plant's heartbeat does not change."""
    SET_OFFLINE = 3
    """The plant wants it."""
    OTHER_WRITER = 4
    """Another gateway writes what the plant reads, or that is not known yet. An S7 alone."""


class LineBit(IntFlag):
    """Bits that say how the line is, by its own heartbeats."""

    GOLDEN_VALID = 1 << 0
    GOLDEN_DUE = 1 << 1
    GOLDEN_NEXT = 1 << 2
    """The next trigger is of a golden part."""
    GOLDEN_FAILED = 1 << 3
    SHADOW_DOWN = 1 << 4
    JOURNAL_FAILED = 1 << 5
    FAILURE = 1 << 6
    FUNCTION_CHECK = 1 << 7
    OUT_OF_SPECIFICATION = 1 << 8
    MAINTENANCE = 1 << 9


class CommandCode(IntEnum):
    """What word 10 can ask for."""

    ACTIVATE = 1
    """Put a recipe in force; it is loaded first if it is not."""
    PREPARE = 2
    UNPREPARE = 3
    GOLDEN_NEXT = 4
    """The next part is a golden one, by its number in the settings: it is checked and opens no gate."""
    GOLDEN_END = 5
    """End the check with golden parts."""
    PROMOTE = 7
    """Put the shadow in force, where the settings allow it."""


class ResultBit(IntFlag):
    """Bits of a result."""

    LATE = 1 << 0
    NOT_JOURNALED = 1 << 1
    GOLDEN = 1 << 2
    HAS_SCORE = 1 << 3
    SECOND_LOOK = 1 << 4


class Register(NamedTuple):
    """One value of the map: its name, its first word, and its type."""

    name: str
    word: int
    kind: str


FORMATS: Final = {
    "bits16": ">H",
    "uint16": ">H",
    "uint32": ">I",
    "int32": ">i",
    "int64": ">q",
    "float32": ">f",
    "ascii32": ">32s",
}

CONTROL: Final = (
    Register("control", 0, "bits16"),
    Register("plant_heartbeat", 1, "uint16"),
    Register("trigger_id", 2, "uint32"),
    Register("encoder_count", 4, "int64"),
    Register("trigger_recipe", 8, "uint16"),
    Register("deadline_ms", 9, "uint16"),
    Register("command", 10, "uint16"),
    Register("argument", 11, "uint16"),
    Register("part_id", 16, "ascii32"),
    Register("trigger_number", 32, "uint16"),
    Register("inspection_read", 33, "uint16"),
)

STATUS: Final = (
    Register("status", 100, "bits16"),
    Register("heartbeat", 101, "uint16"),
    Register("map_version", 102, "uint16"),
    Register("error", 103, "uint16"),
    Register("active_recipe", 104, "uint16"),
    Register("command_result", 105, "uint16"),
    Register("acquisition_id", 106, "uint32"),
    Register("results_waiting", 108, "uint16"),
    Register("line", 109, "bits16"),
    Register("answered_number", 110, "uint16"),
    Register("answer", 111, "uint16"),
    Register("inspection_id", 116, "uint32"),
    Register("result_trigger_id", 118, "uint32"),
    Register("evaluation", 120, "uint16"),
    Register("pass_key", 121, "uint16"),
    Register("reason", 122, "uint16"),
    Register("result_recipe", 123, "uint16"),
    Register("latency", 124, "uint32"),
    Register("margin", 126, "int32"),
    Register("score", 128, "float32"),
    Register("threshold", 130, "float32"),
    Register("epoch", 132, "uint32"),
    Register("seq", 134, "uint32"),
    Register("result", 136, "bits16"),
    Register("result_number", 137, "uint16"),
)

_BY_NAME: Final = {register.name: register for register in (*CONTROL, *STATUS)}


class RegisterError(ValueError):
    """A read or write beyond the blocks of the map."""


def value_of(control: Sequence[int], name: str) -> Value:
    """The value of a register of the control block, from the block's words."""
    _, word, kind = _BY_NAME[name]
    form = FORMATS[kind]
    words = control[word : word + struct.calcsize(form) // 2]
    value: Value = struct.unpack(form, struct.pack(f">{len(words)}H", *words))[0]
    return value


def number_of(control: Sequence[int], name: str) -> int:
    """The value of a register that holds a whole number."""
    value = value_of(control, name)
    assert isinstance(value, int)
    return value


def status_words(values: Mapping[str, Value]) -> list[int]:
    """The words of a status block with these values; what is left out is 0, what does not fit its limit."""
    block = bytearray(2 * BLOCK_WORDS)
    for name, value in values.items():
        _, word, kind = _BY_NAME[name]
        struct.pack_into(FORMATS[kind], block, 2 * (word - STATUS_FIRST), _fitting(kind, value))
    return list(struct.unpack(f">{BLOCK_WORDS}H", block))


def words_within(first: int, count: int, blocks: Iterable[int]) -> int:
    """The first word of the block that has all of these words.

    Raises:
        RegisterError: none has.
    """
    for block in blocks:
        if block <= first and first + count <= block + BLOCK_WORDS:
            return block
    raise RegisterError(f"words {first} to {first + count - 1} are not in one block of the map")


def _fitting(kind: str, value: Value) -> Value:
    if isinstance(value, bytes) or kind == "float32":
        return value
    bits = 8 * struct.calcsize(FORMATS[kind])
    lowest = -(1 << bits - 1) if kind.startswith("int") else 0
    return round(min(max(value, lowest), lowest + (1 << bits) - 1))
