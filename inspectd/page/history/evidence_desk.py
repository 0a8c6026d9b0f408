"""Looks at evidence in threads of its own: a disk that hangs costs its pictures, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from inspectd.page.answers import ApiError
from inspectd.page.history.evidence import EvidenceTree
from inspectd.page.history.rows import Numbered
from inspectd.page.told import EvidenceWord

_T = TypeVar("_T")

_THREADS: Final = 2
_MOST: Final = 16
_SECONDS: Final = 5.0


class EvidenceDesk:
    """Asks a tree of evidence, and waits for no disk longer than allowed.

    Args:
        tree: the evidence.
    """

    def __init__(self, tree: EvidenceTree) -> None:
        self._tree = tree
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="evidence")
        self._asked = 0

    async def ask(self, question: Callable[[EvidenceTree], _T]) -> _T:
        """The answer of `question`.

        Raises:
            ApiError: the disk does not answer.
        """
        if self._asked < _MOST:
            self._asked += 1
            waiting = asyncio.get_running_loop().run_in_executor(self._pool, question, self._tree)
            waiting.add_done_callback(self._ended)
            try:
                async with asyncio.timeout(_SECONDS):
                    return await asyncio.shield(waiting)
            except TimeoutError:
                pass
        raise ApiError(504, "evidence_disk", "The disk of the evidence does not answer; try again.")

    async def has(self, items: Sequence[Numbered]) -> list[EvidenceWord]:
        """Of each verdict, whether its evidence is there: "kept", "none" or "unknown"."""
        try:
            return await self.ask(lambda tree: [tree.has(item) for item in items])
        except ApiError:
            return ["unknown"] * len(items)

    def _ended(self, waiting: asyncio.Future[_T]) -> None:
        self._asked -= 1
        if not waiting.cancelled():
            waiting.exception()  # of a question whose asker is gone
