"""Asks the database in threads of their own, each question with a time limit: none holds up the page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspectd.hub.engine import (
    DatabaseAwayError,
    DatabaseRefusesError,
    NoTablesError,
    as_database_error,
    engine_to_ask,
)
from inspectd.page.answers import ApiError

_THREADS: Final = 4
_MOST_WAITING: Final = 32
_STEPS: Final = 5000
"""Of SQLite's machine between two looks at the clock: below a millisecond."""

_T = TypeVar("_T")
DatabaseQuestion = Callable[[sa.Connection], _T]


class HubQuestions:
    """Answers questions about the database of the hub.

    Args:
        url: of the database.
        seconds: longest that a question may take, in its turn.

    Attributes:
        answered: questions that were.
        refused: questions that were not, by reason.
        seconds: that answers took, all together.
    """

    def __init__(self, url: URL, seconds: float = 5.0) -> None:
        self.answered, self.seconds = 0, 0.0
        self.refused = {"busy": 0, "database": 0}
        self._limit_seconds = seconds
        self._engine = engine_to_ask(url, seconds, _THREADS)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="hub-question")
        self._asked = 0

    def close(self) -> None:
        """Take no more questions."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._engine.dispose()

    async def ask(self, question: DatabaseQuestion[_T]) -> _T:
        """The answer of `question`, which gets a connection that only reads, all of one moment.

        Raises:
            ApiError: too many questions wait, it took too long, or the database does not answer.
            FilterError: what is asked for cannot be.
        """
        if self._asked >= _THREADS + _MOST_WAITING:
            self.refused["busy"] += 1
            raise ApiError(429, "busy", "Too many questions wait for the database; try again in a moment.")
        self._asked += 1
        began = time.monotonic()
        waiting = asyncio.get_running_loop().run_in_executor(self._pool, self.answer, question)
        waiting.add_done_callback(self._ended)
        try:
            found = await asyncio.shield(waiting)  # who goes away does not end it: its time limit does
        except DatabaseRefusesError as error:  # of what was asked for, such as a name with the character 0
            raise ApiError(400, "filter", f"The database takes no such values: {error}.") from error
        except NoTablesError as error:
            self.refused["database"] += 1
            raise ApiError(
                503, "starting", "The hub is starting: its database has no tables yet. Try again in a moment."
            ) from error
        except DatabaseAwayError as error:
            self.refused["database"] += 1
            raise ApiError(
                503,
                "database",
                f"The database does not answer this now: {error}. Nothing is lost; try again.",
            ) from error
        self.answered += 1
        self.seconds += time.monotonic() - began
        return found

    def answer(self, question: DatabaseQuestion[_T]) -> _T:
        """The same in this thread.

        Raises:
            DatabaseAwayError: the database does not answer, or not in time.
            FilterError: what is asked for cannot be.
        """
        with as_database_error():
            try:
                with self._engine.begin() as connection:
                    self._limit(connection.connection.dbapi_connection)
                    return question(connection)
            except sa.exc.OperationalError:
                self._engine.dispose()  # a file that was removed, a server that was started anew
                raise

    def _limit(self, connection: Any) -> None:
        if hasattr(connection, "set_progress_handler"):  # SQLite's; PostgreSQL ends a statement by itself
            until = time.monotonic() + self._limit_seconds
            connection.set_progress_handler(lambda: int(time.monotonic() > until), _STEPS)

    def _ended(self, waiting: asyncio.Future[_T]) -> None:
        self._asked -= 1
        if not waiting.cancelled():
            waiting.exception()  # of a question whose asker is gone
