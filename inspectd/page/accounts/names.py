"""Names of persons. Pure."""

from __future__ import annotations

import unicodedata
from typing import Final

LONGEST_NAME: Final = 40


def name_problem(name: str) -> str | None:
    """What is wrong with a name; None: nothing."""
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        return f"got {name[:80]!r}, expected a name of 1 to {LONGEST_NAME} printable characters"
    return None


def name_key(name: str) -> str:
    """What tells two names apart: neither case nor the way a letter is put together."""
    return unicodedata.normalize("NFKC", name).casefold()
