"""Tells whoever wrote a TOML file what is wrong with it: the line, without passwords, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")
_SECRET: Final = re.compile(
    r"pass|pwd|secret|token|://|[@?]|:/"
    r"|[a-z_][\w.-]+:\S|[a-z_]:[^\s\\]|:[^\s\\\"']*[a-z_]",  # NAME:PASSWORD; not C:\\x or 10.1.2.3:80
    re.IGNORECASE,
)
"""Says that a line may hold a password: it is named by its key alone."""
_CURLY: Final = re.compile("[\u2018-\u201f\u00ab\u00bb\uff02\uff07]")
_COMMA: Final = re.compile(r"[+-]?\d+,\d+\s*(?:#.*)?\Z")
_WORD: Final = re.compile(r"(?:true|false|yes|no|on|off)\s*(?:#.*)?\Z", re.IGNORECASE)
_SHOWN: Final = 80
_HIDDEN: Final = "***"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")

_CLOSE: Final = "the quote that opens a text has to be closed on the same line"
_ESCAPE: Final = (
    r"in double quotes \ begins an escape; write a path in single quotes, as in 'C:\pictures', or with /"
)
_TWICE: Final = (
    "it is there twice; a table has one heading, or [[...]] each time, and a key is set once in it"
)
_BY_MESSAGE: Final = (
    ("Illegal character '\\n'", _CLOSE),
    ("Unterminated string", _CLOSE),
    ("Expected '\"", _CLOSE),
    ("Expected \"'", _CLOSE),
    ("Invalid hex value", _ESCAPE),
    ("Unescaped '\\'", _ESCAPE),
    ("Expected ']'", "a table's heading ends with ], as in [line]"),
    ("Expected ']]'", "the heading of one of several tables ends with ]], as in [[cameras]]"),
    ("Cannot overwrite", _TWICE),
    ("Cannot declare", _TWICE),
    ("Cannot mutate", _TWICE),
    ("Unclosed array", "a list that was begun with [ is not closed with ], or lacks a comma"),
    ("Unclosed inline table", "a table in { } has to be closed on its line"),
    ("Expected newline", "nothing but a comment, after #, may follow a value; a unit is in the key's name"),
    ("Expected '='", 'expected KEY = VALUE, as in plant = "gimje"'),
    ("Invalid statement", 'expected KEY = VALUE, as in plant = "gimje", or a heading such as [line]'),
)
_ON_THE_LAST_LINE: Final = ("Invalid value", "Expected ']", "Expected '='", "Cannot", "Unterminated string")
"""What is found at a file's end is of its last line; of the rest, as an open list, nobody knows the line."""
_OF_A_VALUE: Final = ("Invalid value", "Expected newline", "Illegal character", "Unterminated string")
_BY_VALUE: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    (_CURLY.search, 'curly quotes; write straight ones, as in "gimje": not with a word processor'),
    (_COMMA.match, "a number has a point for its decimals, as in 5.0"),
    (_WORD.match, "expected true or false, in small letters and without quotes"),
    (lambda value: not value, "the value is missing after ="),
)


def told(error: Exception, text: str) -> str:
    """What keeps a text from being TOML.

    Args:
        error: what Python's reader says of it.
        text: the whole file.
    """
    message = str(error)
    place = _PLACE.search(message)
    said = message if place is None else message[: place.start()]
    lines = text.rstrip().split("\n")
    number = 0
    if place is not None and place[1] is not None:
        number = int(place[1])
    elif place is not None and said.startswith(_ON_THE_LAST_LINE):
        number = len(lines)
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    at = f" at line {number}, {_shown(line)}" if line else ""
    return f"is not TOML{at}: {_hint(said, line)}"


def not_utf8(error: UnicodeDecodeError) -> str:
    """Why a file's bytes are no text in UTF-8."""
    if error.object.startswith(_UTF16):
        return 'is not UTF-8 text but UTF-16, Notepad\'s "Unicode"; save it with the encoding UTF-8'
    number = error.object.count(b"\n", 0, error.start) + 1
    return f"is not UTF-8 text: byte 0x{error.object[error.start]:02x} in line {number}; save it as UTF-8"


def _shown(line: str) -> str:
    """A line as anybody may see it: in one that may hold a password, the value is hidden."""
    if _SECRET.search(line):
        key, separator, _ = line.partition("=")
        is_key = separator and re.fullmatch(r"[A-Za-z0-9_.-]+", key.strip())
        line = f"{key.strip()} = {_HIDDEN}" if is_key else _HIDDEN
    return line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "..."


def _hint(said: str, line: str) -> str:
    value = line.partition("=")[2].strip()
    if "=" in line and said.startswith(_OF_A_VALUE):
        for is_so, hint in _BY_VALUE:
            if is_so(value):
                return hint
    if said.startswith("Invalid value"):
        return 'expected a number, true, false, or a text in straight quotes, as in "gimje"'
    for begins, hint in _BY_MESSAGE:
        if said.startswith(begins):
            return hint
    # The rest is rare, and may name a key.
    return "not as TOML is written" if _SECRET.search(said) else said[:1].lower() + said[1:]
