"""What the two data blocks hold: the words of the hand-shake, from byte 0 on. Pure.

An S7 has the high byte and the high word first, as the hand-shake's words have, so they are copied as
they are.
A PLC that is read and written every so often differs in three ways from one that writes by itself:

- A bit that falls and rises between two reads is not seen, so parts are triggered and results acknowledged by
  numbers alone; the two bits that do so elsewhere are left out.
- Another gateway may write to the same block, so each has its number there (`other_writer`).
- The PLC's program may run while its data block is half written. What it acts upon is tied by keys: the
  pass key, and the answer key, which ties AcquisitionID to the trigger number that it answers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from inspectd.gateways.registers import PASS_KEY, STATUS_FIRST, ControlBit

CONTROL_WORDS: Final = 34
STATUS_WORDS: Final = 40
ANSWER_KEY_WORD: Final = 112
"""Word of the answer key, in the hand-shake's count; nothing else is there."""
WRITER_WORD: Final = 114
"""First of the two words with the gateway's number, likewise."""
WRITER_AT, WRITER_SIZE = 2 * (WRITER_WORD - STATUS_FIRST), 4
"""Its bytes in the data block."""

_ACQUISITION_LOW_WORD: Final = 107
_ANSWERED_NUMBER_WORD: Final = 110
_ANSWER_WORD: Final = 111
_ACCEPTED: Final = 1
_TAKEN_BITS: Final = 0xFFFF - int(ControlBit.TRIGGER | ControlBit.RESULTS_ACK)


def control_words(data: bytes | bytearray) -> list[int]:
    """The words of the control block's data block, without the bits that have no meaning here.

    Args:
        data: 68 bytes.
    """
    words = list(struct.unpack(f">{CONTROL_WORDS}H", data))
    words[0] &= _TAKEN_BITS
    return words


def status_bytes(words: Sequence[int], writer: int) -> bytearray:
    """The status block's data block, 80 bytes.

    Args:
        words: 40 words of the hand-shake's status block, from its first on.
        writer: the gateway's number.
    """
    block = list(words)
    block[WRITER_WORD - STATUS_FIRST : WRITER_WORD - STATUS_FIRST + 2] = divmod(writer, 1 << 16)
    number = block[_ANSWERED_NUMBER_WORD - STATUS_FIRST]
    if block[_ANSWER_WORD - STATUS_FIRST] == _ACCEPTED:
        low = block[_ACQUISITION_LOW_WORD - STATUS_FIRST]
        block[ANSWER_KEY_WORD - STATUS_FIRST] = number ^ low ^ PASS_KEY
    return bytearray(struct.pack(f">{STATUS_WORDS}H", *block))
