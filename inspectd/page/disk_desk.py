"""Reads a disk in threads of its own: one that hangs costs what lies on it, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from inspectd.page.answers import ApiError

_T = TypeVar("_T")

_THREADS: Final = 2
_MOST: Final = 16
_SECONDS: Final = 5.0


class DiskDesk:
    """Asks a disk, and waits for it no longer than allowed.

    Args:
        what: lies on it, in a word.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix=what)
        self._asked = 0

    async def ask(self, question: Callable[[], _T]) -> _T:
        """The answer of `question`, which reads the disk; raises as that does.

        Raises:
            ApiError: the disk does not answer.
        """
        if self._asked < _MOST:
            self._asked += 1
            waiting = asyncio.get_running_loop().run_in_executor(self._pool, question)
            waiting.add_done_callback(self._ended)
            try:
                async with asyncio.timeout(_SECONDS):
                    return await asyncio.shield(waiting)
            except TimeoutError:
                pass
        raise ApiError(504, f"{self._what}_disk", f"The disk of the {self._what} does not answer; try again.")

    def _ended(self, waiting: asyncio.Future[_T]) -> None:
        self._asked -= 1
        if not waiting.cancelled():
            waiting.exception()  # of a question whose asker is gone
