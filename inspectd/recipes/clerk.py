"""A thread for what the line asks of the disk beside its journal: a disk that hangs holds up nothing."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from inspectd.errors import InspectdError, UnavailableError

_Answer = TypeVar("_Answer")

_CLOSE_SECONDS: Final = 10.0


class DiskClerk:
    """Does one piece of work after another; what comes of it is handed over in the loop's thread."""

    def __init__(self) -> None:
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._work: queue.SimpleQueue[Callable[[], Callable[[], None]] | None] = queue.SimpleQueue()
        self._answers: deque[Callable[[], None]] = deque()
        self._thread = threading.Thread(target=self._run, name="disk-clerk", daemon=True)
        self._thread.start()

    def ask(
        self,
        work: Callable[[], _Answer],
        done: Callable[[_Answer], None],
        failed: Callable[[InspectdError], None],
    ) -> None:
        """Have `work` done in the thread; `take_answers` then calls `done` or, where it raised, `failed`.

        Whatever the operating system refuses of it is an `UnavailableError` to `failed`, as a disk may fail
        at any look at it. Any other exception is raised by `take_answers`.
        """
        self._work.put(partial(_attempt, work, done, failed))

    def fileno(self) -> int:
        """Readable when there are answers to take."""
        return self._event_fd

    def take_answers(self) -> None:
        """Hand over what is done."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event_fd)
        while self._answers:
            self._answers.popleft()()

    def close(self) -> None:
        """Take no more work, and wait for what was given: a golden check that failed, say, must be recorded.

        A disk that answers nothing is waited for some seconds; what hangs then is left to the process's end.
        """
        self._work.put(None)
        self._thread.join(_CLOSE_SECONDS)

    # --- in the thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._answers.append(work())
            os.eventfd_write(self._event_fd, 1)


def nothing(*_: object) -> None:
    """What to do with an answer from which nothing follows."""


def _attempt(
    work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[InspectdError], None]
) -> Callable[[], None]:
    try:
        return partial(done, work())
    except InspectdError as error:
        return partial(failed, error)
    except OSError as error:
        told = UnavailableError(f"{error.filename or 'the disk'}: cannot be used: {error.strerror or error}")
        return partial(failed, told)
    except Exception as error:  # noqa: BLE001 - a fault of this program: raised again in the loop's thread
        return partial(_raise, error)


def _raise(error: Exception) -> None:
    raise error
