"""Looks now and then whether the next start would judge by what judges now."""

from __future__ import annotations

from functools import partial
from typing import Final

from inspectd.alarms import EmitEvent
from inspectd.errors import InputError, InspectdError
from inspectd.recipes.book import RecipeBook
from inspectd.recipes.clerk import DiskClerk
from inspectd.recipes.stored import RecipeRecords

_LOOK_NS: Final = 60_000_000_000
_LOOK_AGAIN_NS: Final = 5_000_000_000
"""While it would not, it is looked at so often."""


class RecipeWatch:
    """Holds what judges against the audit file, whose disk may not have been there at the start.

    Args:
        book: has what judges.
        records: has the audit file, asked by `clerk` alone.
        clerk: asks the disk.
        emit: publishes events.
    """

    def __init__(self, book: RecipeBook, records: RecipeRecords, clerk: DiskClerk, emit: EmitEvent) -> None:
        self._book = book
        self._records = records
        self._clerk = clerk
        self._emit = emit
        self._asked_ns = self._look_ns = 0
        self._is_asked = False
        """The disk has not answered yet."""
        self._contradiction = ""

    def turn(self, now_ns: int, *, is_recording: bool) -> None:
        """Look if it is time.

        Args:
            now_ns: monotonic.
            is_recording: a change is on its way to the audit file, which may be ahead of what judges. What is
                asked of the clerk after this comes after the look.
        """
        if now_ns >= self._look_ns and not is_recording and not self._is_asked:
            self._asked_ns, self._look_ns, self._is_asked = now_ns, now_ns + _LOOK_NS, True
            look = partial(self._records.refuse_contradiction, self._book.in_force)
            self._clerk.ask(look, self._on_agreed, self._on_refused)

    def conditions(self) -> list[tuple[str, str]]:
        """Name and detail of what is wrong now, for the line's health."""
        return [("recipe_contradicted", self._contradiction)] if self._contradiction else []

    def _on_agreed(self, _: None) -> None:
        self._is_asked = False
        self._contradiction = ""

    def _on_refused(self, error: InspectdError) -> None:
        self._is_asked = False
        if not isinstance(error, InputError):
            return  # a file that cannot be read now says nothing; `LineAudit` tells of that
        if not self._contradiction:
            self._emit("alarm", "recipe_contradicted", detail=str(error))
        self._contradiction = str(error)
        self._look_ns = self._asked_ns + _LOOK_AGAIN_NS
