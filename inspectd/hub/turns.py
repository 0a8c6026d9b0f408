"""Who writes the database next: all in the order of coming, as long as it answers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from inspectd.hub.engine import DatabaseAwayError

SILENT_SECONDS: Final = 20.0
"""A database that answered nothing for so long, though it was asked, is away."""


class Turns:
    """One at a time, in the order of coming. Safe for threads.

    However many wait before it, nobody gives up while the database answers: only its silence counts.

    Args:
        silent_seconds: so long it may be silent.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self, silent_seconds: float = SILENT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._silent_seconds, self._clock = silent_seconds, clock
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        """The first one has its turn."""
        self._asked_at: float | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn, and have it.

        Raises:
            DatabaseAwayError: the database has been silent for too long to those before.
        """
        own = object()
        with self._changed:
            self._queue.append(own)
            try:
                while self._queue[0] is not own:
                    self.refuse_silent()
                    self._changed.wait(self._silent_seconds - self._silence())
            except BaseException:  # whoever ends while it waits, by Ctrl-C too, holds up none behind it
                self._leave(own)
                raise
            self._asked_at = self._clock()
        try:
            yield
        finally:
            with self._changed:
                self._asked_at = None
                self._leave(own)

    def answered(self) -> None:
        """The database answered whoever has the turn, and is asked the next thing."""
        if self._asked_at is not None:
            self._asked_at = self._clock()

    def refuse_silent(self) -> None:
        """Go on only with a database that answers.

        Raises:
            DatabaseAwayError: it has been silent for too long.
        """
        if self._silence() >= self._silent_seconds:
            raise DatabaseAwayError(
                f"it was asked, and gave no answer for {self._silent_seconds:g} s or longer"
            )

    def _silence(self) -> float:
        """How long the database has been silent; 0: it was not asked."""
        since = self._asked_at
        return 0.0 if since is None else self._clock() - since

    def _leave(self, own: object) -> None:
        self._queue.remove(own)
        self._changed.notify_all()
