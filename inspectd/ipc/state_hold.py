"""The state directory of a line, held while it runs: by one daemon at a time, wherever its sockets are."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from inspectd.errors import UnavailableError


class StateHold:
    """Locks the directory itself, as `RuntimeDir` does.

    The runtime directory is no proof alone: it may be swept away under a line that runs, as cleaners of
    temporary files do, and whoever makes it anew has it. A state directory that cannot be had is held by
    nobody: the line runs without one, and says so.
    """

    def __init__(self, path: Path, refusal: str) -> None:
        """Nothing happens before the `with`; `refusal` says in words that another one holds it."""
        self._path = path
        self._refusal = refusal
        self._fd = -1

    def __enter__(self) -> None:
        """Make and lock the directory.

        Raises:
            UnavailableError: another one holds it.
        """
        try:
            self._path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise UnavailableError(self._refusal) from error
        except OSError:
            self._close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let it go."""
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
