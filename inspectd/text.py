"""Makes untrusted text (ids, file names, messages of others) safe to show.

An id with a line break forges a line of a log or a table, an escape sequence rewrites a terminal, a direction
mark turns words around, and half a surrogate pair (a file name that is not UTF-8) cannot be encoded at all.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

MAX_DETAIL_CHARACTERS: Final = 300
"""Of what an answer, or an event of the line, says in words."""


def printable(text: str) -> str:
    r"""`text` on one line, with every character that is not printable as its JSON escape, such as `\u001b`.

    Printable is what Unicode prints: letters, marks, numbers, punctuation, symbols and the space. Within a
    JSON string the escape stands for the same character, so a line of JSON may be passed through.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def printable_lines(text: str) -> str:
    """`printable`, but keeps line breaks: for text that this program has laid out in lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def counted(number: int, noun: str) -> str:
    """`1 camera`, `2 cameras`: a number with what it counts, in the singular or with an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def why(error: OSError) -> str:
    """What the system says of an error, without what a library wrapped around it."""
    number = error.errno
    return os.strerror(number) if number is not None and number in errno.errorcode else str(error)


def cannot_listen(where: str, host: str, port: int, error: OSError) -> str:
    """Why a program cannot listen there, as the settings `where` say, and what to do."""
    by_cause = {
        errno.EADDRINUSE: "stop what uses it (this program, if it runs already), or choose another port",
        errno.EADDRNOTAVAIL: "expected an address of this host (`ip address` shows them)",
        errno.EACCES: "ports below 1024 take CAP_NET_BIND_SERVICE, as the service has; or choose another",
    }
    remedy = by_cause.get(error.errno or 0, "expected an address of this host, and a port that nobody uses")
    return f"{where}: cannot listen on {host}:{port}: {why(error)}; {remedy}"


def few(names: Sequence[str], noun: str, most: int = 5) -> str:
    """The first `most` of `names`, and how many more `noun` there are."""
    more = f" and {counted(len(names) - most, f'more {noun}')}" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def installing(extra: str) -> str:
    """The command that brings what an extra has to this program (docs/operations.md, Install)."""
    return f"{sys.prefix}/bin/pip install --constraint constraints.txt '.[{extra}]' in this version's source"


def json_line(value: Any) -> str:
    """One line of printable JSON for a record, or anything else msgspec can encode.

    A lone surrogate, which JSON cannot hold, is written out as the text of its escape.
    """
    import msgspec  # noqa: PLC0415 - everything prints through this module, also where msgspec is not installed

    return printable(msgspec.json.encode(_encodable(msgspec.to_builtins(value))).decode())


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list | tuple) else value
