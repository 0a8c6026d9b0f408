"""Modbus requests one by one: answers and exceptions as the specification has them, and no other."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from inspectd.gateways.modbus.protocol import FunctionCode, ModbusException, answer_to, exception_in
from inspectd.gateways.registers import RegisterError


class Words:
    """200 words at address 0, of which the first hundred can be written."""

    def __init__(self) -> None:
        self.words = [*range(200)]
        self.writes: list[tuple[int, list[int]]] = []

    def read(self, first: int, count: int) -> list[int]:
        if first + count > len(self.words):
            raise RegisterError
        return self.words[first : first + count]

    def write(self, first: int, words: list[int]) -> None:
        if first + len(words) > 100:
            raise RegisterError
        self.writes.append((first, [*words]))
        self.words[first : first + len(words)] = words


def asked(bank: Words, code: int, form: str = "", *values: int, may_write: bool = True) -> bytes:
    return answer_to(bank, struct.pack(f">B{form}", code, *values), may_write=may_write)


@pytest.mark.parametrize("code", [3, 4])
def test_words_are_read(code: int) -> None:
    assert asked(Words(), code, "HH", 100, 3) == struct.pack(">BBHHH", code, 6, 100, 101, 102)


def test_bits_are_those_of_the_first_words() -> None:
    bank = Words()
    bank.words[0], bank.words[100] = 0b1000_0000_0000_0011, 0x81
    assert asked(bank, 1, "HH", 0, 16) == bytes((1, 2, 0x03, 0x80))
    assert asked(bank, 2, "HH", 7, 1) == bytes((2, 1, 1))
    assert asked(bank, 2, "HH", 1, 9) == bytes((2, 2, 0x40, 0))


def test_words_are_written() -> None:
    bank = Words()
    assert asked(bank, 6, "HH", 1, 77) == struct.pack(">BHH", 6, 1, 77)
    assert asked(bank, 16, "HHBHH", 2, 2, 4, 7, 8) == struct.pack(">BHH", 16, 2, 2)
    assert bank.words[1:4] == [77, 7, 8]
    assert asked(bank, 23, "HHHHBH", 2, 2, 3, 1, 2, 9) == struct.pack(">BBHH", 23, 4, 7, 9)


def test_bits_are_written() -> None:
    bank = Words()
    bank.words[0] = 0b100
    assert asked(bank, 5, "HH", 0, 0xFF00) == struct.pack(">BHH", 5, 0, 0xFF00)
    assert bank.words[0] == 0b101
    asked(bank, 5, "HH", 2, 0)
    assert asked(bank, 15, "HHBB", 1, 3, 1, 0b011) == struct.pack(">BHH", 15, 1, 3)
    assert bank.words[0] == 0b0111


REFUSED = [
    (7, "", (), ModbusException.ILLEGAL_FUNCTION),
    (22, "HHH", (0, 1, 1), ModbusException.ILLEGAL_FUNCTION),
    (0, "", (), ModbusException.ILLEGAL_FUNCTION),
    (3, "HH", (0, 0), ModbusException.ILLEGAL_VALUE),
    (3, "HH", (0, 126), ModbusException.ILLEGAL_VALUE),
    (3, "HH", (190, 20), ModbusException.ILLEGAL_ADDRESS),
    (3, "H", (1,), ModbusException.ILLEGAL_VALUE),
    (1, "HH", (16, 1), ModbusException.ILLEGAL_ADDRESS),
    (1, "HH", (0, 2001), ModbusException.ILLEGAL_VALUE),
    (2, "HH", (15, 2), ModbusException.ILLEGAL_ADDRESS),
    (5, "HH", (0, 1), ModbusException.ILLEGAL_VALUE),
    (5, "HH", (16, 0), ModbusException.ILLEGAL_ADDRESS),
    (6, "HH", (100, 1), ModbusException.ILLEGAL_ADDRESS),
    (15, "HHBB", (0, 9, 1, 0), ModbusException.ILLEGAL_VALUE),
    (15, "HHBB", (9, 8, 1, 0), ModbusException.ILLEGAL_ADDRESS),
    (16, "HHB", (0, 0, 0), ModbusException.ILLEGAL_VALUE),
    (16, "HHBH", (0, 2, 4, 1), ModbusException.ILLEGAL_VALUE),
    (16, "HHBHH", (99, 2, 4, 1, 1), ModbusException.ILLEGAL_ADDRESS),
    (23, "HHHHBH", (0, 126, 0, 1, 2, 9), ModbusException.ILLEGAL_VALUE),
    (23, "HHHHBH", (500, 1, 0, 1, 2, 9), ModbusException.ILLEGAL_ADDRESS),
    (23, "HHHHBH", (0, 1, 150, 1, 2, 9), ModbusException.ILLEGAL_ADDRESS),
]


@pytest.mark.parametrize(("code", "form", "values", "exception"), REFUSED)
def test_what_cannot_be_done_is_an_exception_and_changes_nothing(
    code: int, form: str, values: tuple, exception: ModbusException
) -> None:
    bank = Words()
    answer = asked(bank, code, form, *values)
    assert answer == bytes((code | 0x80, exception))
    assert exception_in(answer) == exception.name.lower()
    assert bank.writes == []


WRITES = [
    (5, "HH", (0, 0)),
    (6, "HH", (0, 1)),
    (15, "HHBB", (0, 1, 1, 1)),
    (16, "HHBH", (0, 1, 2, 1)),
    (23, "HHHHBH", (0, 1, 0, 1, 2, 9)),
]


@pytest.mark.parametrize(("code", "form", "values"), WRITES)
def test_a_reader_writes_nothing(code: int, form: str, values: tuple) -> None:
    bank = Words()
    answer = asked(bank, code, form, *values, may_write=False)
    assert answer == bytes((code | 0x80, ModbusException.ILLEGAL_FUNCTION))
    assert bank.writes == []


@given(some.binary(min_size=1, max_size=253))
def test_whatever_comes_has_an_answer_that_fits(request: bytes) -> None:
    answer = answer_to(Words(), request, may_write=True)
    assert answer[0] & 0x7F == request[0] & 0x7F
    assert len(answer) <= 253
    assert exception_in(answer) in {"ok", *(each.name.lower() for each in ModbusException)}


@given(some.sampled_from([*FunctionCode]), some.binary(max_size=252))
def test_words_beyond_the_block_are_never_written(code: FunctionCode, data: bytes) -> None:
    bank = Words()
    answer_to(bank, bytes((code,)) + data, may_write=True)
    assert all(first + len(words) <= 100 for first, words in bank.writes)
