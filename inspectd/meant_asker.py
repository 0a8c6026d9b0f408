"""Asks the disk which version of each recipe an id alone means, until it says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from inspectd.alarms import EmitEvent
from inspectd.errors import InspectdError, UnavailableError
from inspectd.recipes.book import RecipeBook
from inspectd.recipes.clerk import DiskClerk
from inspectd.recipes.stored import RecipeRecords
from inspectd.text import MAX_DETAIL_CHARACTERS

_ASK_AGAIN_NS: Final = 60_000_000_000
"""It is asked again so often, where the disk did not say it."""


class MeantAsker:
    """Tells the book which version each id alone means, by what was put in force before this start.

    Args:
        book: is told.
        records: the recipe store and the audit journal, asked by `clerk` alone.
        clerk: asks the disk.
        emit: publishes events.
        clock: monotonic, in nanoseconds.
    """

    def __init__(
        self,
        book: RecipeBook,
        records: RecipeRecords,
        clerk: DiskClerk,
        emit: EmitEvent,
        clock: Callable[[], int],
    ) -> None:
        self._book = book
        self._records = records
        self._clerk = clerk
        self._emit = emit
        self._clock = clock
        self._again_ns: int | None = None
        self._told: set[str] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether the disk did not say it, and is to be asked again."""
        return self._again_ns is not None

    def ask(self) -> None:
        """Ask the disk; what is asked of the clerk after this finds the book told."""
        self._again_ns = None
        self._clerk.ask(self._records.meant.of_those_put_in_force, self._on_found, self._on_unknown)

    def ask_again(self, now_ns: int | None = None) -> None:
        """Ask the disk again where it is to be; `now_ns`: not before the next minute."""
        if self._again_ns is not None and (now_ns is None or now_ns >= self._again_ns):
            self.ask()

    def _on_found(self, found: tuple[dict[str, int], InspectdError | None]) -> None:
        versions, problem = found
        names = self._records.file.names
        self._book.remember(versions, is_all=problem is None, names_of_file=names)
        if problem is not None:
            self._tell(problem, "")

    def _on_unknown(self, error: InspectdError) -> None:
        self._book.remember({}, is_all=False)
        if isinstance(error, UnavailableError):  # for now
            self._again_ns = self._clock() + _ASK_AGAIN_NS
            self._tell(error, " yet (it is asked again every minute)")
        else:
            self._tell(error, "")

    def _tell(self, problem: InspectdError, yet: str) -> None:
        """Once, and once more where it was promised to ask again and nobody does any longer.

        Not each time: who waits for a recipe to be prepared is not to take it for the answer.
        """
        if yet not in self._told:
            self._told.add(yet)
            what = f"which version of each recipe was in force last is not known{yet}"
            detail = f"{what}, so name versions, or put the version in force once: {problem}"
            self._emit("warning", "recipe_failed", detail=detail[:MAX_DETAIL_CHARACTERS])
