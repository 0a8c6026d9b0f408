"""Modbus requests and their answers, as the Modbus Application Protocol Specification V1.1b3 has them. Pure.

Holding and input registers are the same words; coils are the bits of the first control word, discrete inputs
those of the first status word.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, Protocol

from inspectd.gateways.registers import CONTROL_FIRST, STATUS_FIRST, RegisterError

HEADER_BYTES: Final = 7
"""Transaction, protocol, length and unit, before every request and answer over TCP."""

MOST_PDU_BYTES: Final = 253
_BITS: Final = 16


class FunctionCode(IntEnum):
    """What a client may ask for."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_COIL = 5
    WRITE_REGISTER = 6
    WRITE_COILS = 15
    WRITE_REGISTERS = 16
    READ_WRITE_REGISTERS = 23


WRITING: Final = {
    FunctionCode.WRITE_COIL,
    FunctionCode.WRITE_REGISTER,
    FunctionCode.WRITE_COILS,
    FunctionCode.WRITE_REGISTERS,
    FunctionCode.READ_WRITE_REGISTERS,
}


"""Functions that write."""


class ModbusException(IntEnum):
    """Why a request is not done, as the client is told."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3


class RegisterBank(Protocol):
    """What is served: words of 16 bits by address."""

    def read(self, first: int, count: int) -> Sequence[int]:
        """Words, all of one moment.

        Raises:
            RegisterError: there are no such words.
        """

    def write(self, first: int, words: Sequence[int]) -> None:
        """Change words.

        Raises:
            RegisterError: they cannot be written; nothing was.
        """

    def writer_lost(self) -> None:
        """The connection by which words were changed has ended."""


class _Refused(Exception):  # noqa: N818 - it is the answer, and no error of this program
    def __init__(self, code: ModbusException) -> None:
        self.code = code


def answer_to(bank: RegisterBank, request: bytes, *, may_write: bool) -> bytes:
    """The answer to a request, both without what TCP puts before them; a wrong one changes nothing.

    Args:
        bank: what is read and written.
        request: function code and data, 1 to 253 bytes.
        may_write: the client is the PLC; else functions that write are refused as ones it does not have.
    """
    code = request[0]
    try:
        return _answered(bank, request, may_write=may_write)
    except _Refused as refused:
        return bytes((code | 0x80, refused.code))
    except RegisterError:
        return bytes((code | 0x80, ModbusException.ILLEGAL_ADDRESS))


def exception_in(answer: bytes) -> str:
    """How an answer is counted: `ok`, or the name of the exception."""
    return ModbusException(answer[1]).name.lower() if answer[0] & 0x80 else "ok"


def _answered(bank: RegisterBank, request: bytes, *, may_write: bool) -> bytes:
    code = request[0]
    if code not in _ANSWERS or (code in WRITING and not may_write):
        raise _Refused(ModbusException.ILLEGAL_FUNCTION)
    return _ANSWERS[code](bank, request)


def _fields(form: str, request: bytes) -> tuple[int, ...]:
    if len(request) != struct.calcsize(form):
        raise _Refused(ModbusException.ILLEGAL_VALUE)
    return struct.unpack(form, request)


def _counted(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise _Refused(ModbusException.ILLEGAL_VALUE)


def _words(bank: RegisterBank, code: int, first: int, count: int) -> bytes:
    _counted(count, 125)
    return struct.pack(f">BB{count}H", code, 2 * count, *bank.read(first, count))


def _read_registers(bank: RegisterBank, request: bytes) -> bytes:
    code, first, count = _fields(">BHH", request)
    return _words(bank, code, first, count)


def _read_bits(bank: RegisterBank, request: bytes) -> bytes:
    code, first, count = _fields(">BHH", request)
    _counted(count, 2000)
    _bits_within(first, count)
    word = bank.read(CONTROL_FIRST if code == FunctionCode.READ_COILS else STATUS_FIRST, 1)[0]
    size = (count + 7) // 8
    return bytes((code, size)) + (word >> first & (1 << count) - 1).to_bytes(size, "little")


def _write_register(bank: RegisterBank, request: bytes) -> bytes:
    _, first, word = _fields(">BHH", request)
    bank.write(first, [word])
    return request


def _write_registers(bank: RegisterBank, request: bytes) -> bytes:
    first, words = _given(request[1:], 123)
    bank.write(first, words)
    return request[:5]


def _read_write_registers(bank: RegisterBank, request: bytes) -> bytes:
    """Writes, then reads; what cannot be read is not written either."""
    code, read_first, read_count = _fields(">BHH", request[:5])
    first, words = _given(request[5:], 121)
    _counted(read_count, 125)
    bank.read(read_first, read_count)
    bank.write(first, words)
    return _words(bank, code, read_first, read_count)


def _write_coil(bank: RegisterBank, request: bytes) -> bytes:
    _, coil, value = _fields(">BHH", request)
    if value not in {0, 0xFF00}:
        raise _Refused(ModbusException.ILLEGAL_VALUE)
    _write_bits(bank, coil, 1, int(value != 0))
    return request


def _write_coils(bank: RegisterBank, request: bytes) -> bytes:
    _, first, count, size = _fields(">BHHB", request[:6])
    _counted(count, 1968)
    if size != (count + 7) // 8 or len(request) != 6 + size:
        raise _Refused(ModbusException.ILLEGAL_VALUE)
    _write_bits(bank, first, count, int.from_bytes(request[6:], "little"))
    return request[:5]


def _given(data: bytes, most: int) -> tuple[int, tuple[int, ...]]:
    """First word and words of a request that writes several."""
    first, count, size = _fields(">HHB", data[:5])
    _counted(count, most)
    if size != 2 * count or len(data) != 5 + size:
        raise _Refused(ModbusException.ILLEGAL_VALUE)
    return first, struct.unpack(f">{count}H", data[5:])


def _bits_within(first: int, count: int) -> None:
    if first + count > _BITS:
        raise _Refused(ModbusException.ILLEGAL_ADDRESS)


def _write_bits(bank: RegisterBank, first: int, count: int, bits: int) -> None:
    _bits_within(first, count)
    mask = (1 << count) - 1 << first
    word = bank.read(CONTROL_FIRST, 1)[0]
    bank.write(CONTROL_FIRST, [word & ~mask | bits << first & mask])


_ANSWERS: Final[dict[int, Callable[[RegisterBank, bytes], bytes]]] = {
    FunctionCode.READ_COILS: _read_bits,
    FunctionCode.READ_DISCRETE_INPUTS: _read_bits,
    FunctionCode.READ_HOLDING_REGISTERS: _read_registers,
    FunctionCode.READ_INPUT_REGISTERS: _read_registers,
    FunctionCode.WRITE_COIL: _write_coil,
    FunctionCode.WRITE_REGISTER: _write_register,
    FunctionCode.WRITE_COILS: _write_coils,
    FunctionCode.WRITE_REGISTERS: _write_registers,
    FunctionCode.READ_WRITE_REGISTERS: _read_write_registers,
}
