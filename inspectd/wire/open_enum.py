"""Sets of words that later versions of the format add to, as `docs/wire.md`, section 8, promises."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, Self

_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class OpenStrEnum(StrEnum):
    """Takes a word that only a later version knows, and keeps it: equal to its text, and a member of nothing.

    A reader that took none of such a message would lose a verdict over a word that it needs for no decision.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str) or _WORD.fullmatch(value) is None:
            return None
        word = str.__new__(cls, value)
        word._name_, word._value_ = value, value
        return word
