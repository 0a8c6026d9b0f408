"""Asks the history in threads of their own, each question with a time limit: none holds up the page."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from inspectd.page.answers import ApiError
from inspectd.page.history import schema

_T = TypeVar("_T")

_STEPS: Final = 5000
"""Of SQLite's machine between two looks at the clock: below a millisecond."""

Question = Callable[[sqlite3.Connection], _T]


class NotAnsweredError(ApiError):
    """A question has no answer now; `what` is a key of `HistoryQuestions.refused`."""


class HistoryQuestions:
    """Answers questions about a history's file.

    Args:
        path: the file, which need not be there yet, and may be replaced.
        line: plant and name of the line whose it is to be: nothing of another line's is shown as this one's.
        on_damage: is called when the file is found damaged.
        why_none: why nothing comes of the line, in words; empty: nothing is wrong.
        seconds: longest that a question may take, in its turn.
        threads: questions answered at the same time.
        most_waiting: questions that may wait beside them; more are refused.
    """

    def __init__(
        self,
        path: Path,
        line: tuple[str, str],
        on_damage: Callable[[], None],
        *,
        why_none: Callable[[], str] = str,
        seconds: float = 3.0,
        threads: int = 2,
        most_waiting: int = 32,
    ) -> None:
        self.refused: dict[str, int] = {
            "busy": 0, "too_long": 0, "no_history": 0, "other_history": 0, "no_line": 0,
        }  # fmt: skip
        self.answered = 0
        self._path, self._line = path, line
        self._on_damage, self._why_none, self._seconds = on_damage, why_none, seconds
        self._most = threads + most_waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="history-question")
        self._own = threading.local()
        self._asked = 0

    def close(self) -> None:
        """Take no more questions; those under way end by their time limit."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def ask(self, question: Question[_T]) -> _T:
        """The answer of `question`, which gets a connection that only reads.

        Raises:
            NotAnsweredError: too many questions wait, it took too long, or there is no history now, or
                none of this line.
        """
        if self._asked >= self._most:
            raise self._refusal("busy", "too many questions wait for the history: try again in a moment")
        self._asked += 1
        waiting = asyncio.get_running_loop().run_in_executor(self._pool, self._answer, question)
        waiting.add_done_callback(self._ended)
        answer = await asyncio.shield(waiting)  # who goes away does not end it: its time limit does
        self.answered += 1
        return answer

    def _ended(self, waiting: asyncio.Future[_T]) -> None:
        self._asked -= 1
        if not waiting.cancelled():
            waiting.exception()  # of a question whose asker is gone

    # --- in a thread --------------------------------------------------------------------------------------

    def _answer(self, question: Question[_T]) -> _T:
        until = time.monotonic() + self._seconds
        try:
            connection = self._connection()
            connection.set_progress_handler(lambda: int(time.monotonic() > until), _STEPS)
            self._refuse_other_line(connection)
            connection.execute("BEGIN")  # all of an answer is of one moment: rows may be removed meanwhile
            try:
                return question(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._forget()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_INTERRUPT:
                raise self._refusal(
                    "too_long",
                    f"this took more than {self._seconds:g} s and was ended: "
                    "ask for a shorter time or one camera",
                ) from error
            if isinstance(schema.named(error), schema.HistoryDamagedError):
                self._on_damage()
            raise self._refusal("no_history", f"the history cannot be read now: {error}") from error
        except ValueError as error:  # a row that is not what was written
            self._on_damage()
            raise self._refusal(
                "no_history", f"the history is damaged; it is filled anew: {error}"
            ) from error
        except OSError as error:
            raise self._refusal(
                "no_history", f"there is no history yet: {self._path}: {error.strerror}"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection, to the file that is there now."""
        state = self._path.stat()
        identity = state.st_dev, state.st_ino
        if getattr(self._own, "identity", None) != identity:
            self._forget()
            self._own.connection = schema.connect_to_read(self._path)
            self._own.identity = identity
        connection: sqlite3.Connection = self._own.connection
        return connection

    def _refuse_other_line(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that was begun with another line, and one that is empty because only that is heard.

        A file keeps to the line that it was begun with: who fills it takes nothing of another one.
        """
        meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('plant', 'line')"))
        found = meta.get("plant"), meta.get("line")
        if not meta and (why := self._why_none()):
            raise self._refusal("no_line", f"there is no history yet: {why}")
        if meta and found != self._line:
            raise self._refusal(
                "other_history",
                f"{self._path} is the history of line {'/'.join(map(str, found))}, expected "
                f"{'/'.join(self._line)}: correct line.plant and line.name, or delete it, and it fills anew",
            )

    def _forget(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()
        self._own.connection = self._own.identity = None

    def _refusal(self, what: str, words: str) -> NotAnsweredError:
        self.refused[what] += 1
        return NotAnsweredError(503, what, words)
