"""Watches the list of allowed keys in a thread of its own, as the list may lie on a mount that hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from inspectd.errors import InputError
from inspectd.publish.access.keys import ALLOWED, Client, read_list

_log: Final = logging.getLogger("inspectd.publish")

STUCK_SECONDS: Final = 5
_LOOK_SECONDS: Final = 0.1


class KeyList(msgspec.Struct, frozen=True):
    """The list of allowed keys as it was read.

    Attributes:
        clients: every allowed client, by its public key.
        problem: why the list cannot be used, so that nobody is allowed; None if it can.
        bad_lines: what is wrong with single lines, whose keys are not allowed.
        is_blank: as `AllowedKeys.is_blank`.
    """

    clients: dict[bytes, Client]
    problem: str | None
    bad_lines: tuple[str, ...] = ()
    is_blank: bool = False


class KeyWatch:
    """Reads the list again whenever its file changes, and again and again while it cannot be used.

    The loop takes what was found and never waits.
    """

    def __init__(self, keys_dir: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Read the list, which the caller waits for, and watch it from then on.

        Args:
            keys_dir: the directory of the list.
            clock: nanoseconds, of any beginning.

        Raises:
            InputError: the list cannot be used.
        """
        self._keys_dir = keys_dir
        self._clock = clock
        self._stamp = self._file_stamp()
        self._known = self._read()
        self.first = self._known
        """The list at the start."""
        self._found: deque[KeyList] = deque([self._known] if self._known.bad_lines else [])
        self._looking_since_ns: int | None = None
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="keys", daemon=True).start()

    @property
    def is_stuck(self) -> bool:
        """The disk has not answered for `STUCK_SECONDS`."""
        since_ns = self._looking_since_ns
        return since_ns is not None and self._clock() - since_ns > STUCK_SECONDS * 1e9

    def take(self) -> KeyList | None:
        """The next list that differs from the one before it, if any."""
        return self._found.popleft() if self._found else None

    def close(self) -> None:
        """Look no more. Does not wait: a look may hang for as long as the mount does."""
        self._stop.set()

    # --- in the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            reading = self._look()
            if reading is not None and reading != self._known:
                self._known = reading
                self._found.append(reading)
            self._looking_since_ns = None  # after what was found is there: who sees the one sees the other

    def _look(self) -> KeyList | None:
        """The list; None if its file is as it was. It never raises, which would end the thread."""
        try:
            self._looking_since_ns = self._clock()
            stamp = self._file_stamp()
            # What kept the list from being read may be mended without a change of its file.
            if stamp == self._stamp and self._known.problem is None:
                return None
            self._stamp = stamp
            return self._read()
        except InputError as error:
            return KeyList({}, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is named, logged and safe: see below
            # A thread that ended would leave revoked keys in force unnoticed. So nobody is allowed, the
            # event `keys_unusable` names the error, and the next look tries again.
            what = f"{self._keys_dir / ALLOWED}: cannot be watched: {type(error).__name__}: {error}"
            reading = KeyList({}, what)
            if reading != self._known:  # once, not at every look
                _log.exception("keys_watch_failed")
            return reading

    def _read(self) -> KeyList:
        found = read_list(self._keys_dir)
        clients = {client.public: client for client in found.clients}
        return KeyList(clients, None, found.problems, found.is_blank)

    def _file_stamp(self) -> tuple[int, int, int, int, int] | None:
        try:
            found = (self._keys_dir / ALLOWED).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode
