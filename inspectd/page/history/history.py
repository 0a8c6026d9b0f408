"""One line's history: its file, the thread that fills it, and those that answer questions about it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from inspectd.errors import UnavailableError
from inspectd.page.history.asking import HistoryQuestions
from inspectd.page.history.filler import HistoryFiller, HistoryLimits, HistorySource
from inspectd.page.history.schema import FILE


class History:
    """Fills and answers from `start` to `close`.

    Args:
        folder: of the file, which is made where it is missing.
        source: the line.
        limits: how much is kept.

    Raises:
        UnavailableError: the folder cannot be made, or another page keeps its history there.
    """

    def __init__(
        self,
        folder: Path,
        source: HistorySource,
        limits: HistoryLimits | None = None,
    ) -> None:
        self._lock_fd = _locked(folder)
        path = folder / FILE
        self.filler = HistoryFiller(path, source, limits or HistoryLimits())
        state = self.filler.state
        self.questions = HistoryQuestions(
            path, source.line, self.filler.damage_seen.set,
            why_none=lambda: state.detail if state.problem == "line" else "",
        )  # fmt: skip

    def start(self) -> None:
        """Begin to fill."""
        self.filler.start()

    def close(self) -> None:
        """End; what was not written yet is read again by the next start."""
        self.filler.close()
        self.questions.close()
        os.close(self._lock_fd)


def _locked(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
    except BlockingIOError as error:
        raise UnavailableError(
            f"{folder}: another page keeps its history here; give each line's page a directory of its own"
        ) from error
    except OSError as error:
        raise UnavailableError(f"{folder}: no history can be kept here: {error.strerror}") from error
    return descriptor
