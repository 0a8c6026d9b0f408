"""The log: one line an event on standard error, for people (`key=value`) or for machines (JSON).

A logging thread never waits for the reader: lines go through a bounded queue to a thread that writes them.
"""

from __future__ import annotations

import json
import logging
import math
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal

from inspectd.text import printable, printable_lines

Format = Literal["text", "json"]

_MAX_QUEUED_BYTES: Final = 1 << 20
_FLUSH_SECONDS: Final = 0.5
_REPEATED_AT_ONCE: Final = 10
_REPEATED_SECONDS: Final = 10.0
_REPEATED_CHARACTERS: Final = 200

_log: Final = logging.getLogger("inspectd.log")


def setup(level: str, format: Format) -> None:  # noqa: A002 - the setting's name
    """Send every event of at least `level` (`debug` to `error`) to standard error in `format`."""
    handler = QueuedHandler(2)
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # It warns of what is written to clients that have gone, a line for each write: anybody can cause that.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    sys.excepthook = _log_uncaught


def setup_for_commands() -> None:
    """Show the warnings of a command, which sets up no log, with what belongs to them."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_TextFormatter())


def lines_dropped() -> int:
    """Lines this process could not log so far, because its standard error was not read."""
    return sum(handler.dropped for handler in _queued_handlers())


def last_words(text: str) -> None:
    """Print a line on standard error before the process ends; where a log is set up, through that."""
    handlers = _queued_handlers()
    for handler in handlers:
        handler.put(f"{text}\n".encode(errors="backslashreplace"))
        handler.flush()
    if not handlers:
        print(text, file=sys.stderr)  # noqa: T201


class QueuedHandler(logging.Handler):
    """Writes to a descriptor in a thread of its own; lines that find the queue full are dropped and counted.

    At the end of the process what is queued is written, for half a second at most.
    """

    def __init__(self, fd: int) -> None:
        """Start the thread; `fd` stays the caller's, and may be a pipe that nobody reads."""
        super().__init__()
        self.dropped = 0
        """Lines that were not written, in all."""
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._queued_bytes = 0
        self._unsaid = 0
        self._is_writing = False
        # Its lock can be taken again by the thread that has it: a signal's handler logs too.
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one record; never waits for the descriptor."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of the standard library: reports it, and goes on
            self.handleError(record)
            return
        self.put(f"{line}\n".encode(errors="backslashreplace"))

    def put(self, line: bytes) -> None:
        """Queue a whole line, or count it as dropped."""
        with self._changed:
            if self._queued_bytes + len(line) > _MAX_QUEUED_BYTES:
                self._drop()
                return
            self._say_dropped()
            self._append(line)

    def flush(self) -> None:
        """Wait until everything is written, for half a second at most."""
        end = time.monotonic() + _FLUSH_SECONDS
        with self._changed:
            while (self._lines or self._is_writing) and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._queued_bytes += len(line)
        self._changed.notify_all()

    def _drop(self) -> None:
        self.dropped += 1
        self._unsaid += 1

    def _say_dropped(self) -> None:
        """Log how many lines are missing, in their place."""
        if self._unsaid:
            fields = {"count": self._unsaid}
            self._unsaid = 0
            record = _log.makeRecord(
                _log.name, logging.WARNING, "", 0, "lines_dropped", (), None, extra={"fields": fields}
            )
            self._append(f"{self.format(record)}\n".encode(errors="backslashreplace"))

    # --- in the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._lines:
                    self._say_dropped()
                while not self._lines:
                    self._changed.wait()
                line = self._lines.popleft()
                self._queued_bytes -= len(line)
                self._is_writing = True
            is_written = self._write(line)
            with self._changed:
                self._is_writing = False
                if not is_written:
                    self._drop()
                self._changed.notify_all()

    def _write(self, line: bytes) -> bool:
        """Write a line, for as long as it takes; False when there is nobody to read it, ever."""
        while line:
            try:
                line = line[os.write(self._fd, line) :]
            except BlockingIOError:  # somebody who shares the pipe made it so
                select.select([], [self._fd], [])
            except OSError:
                time.sleep(_FLUSH_SECONDS)  # the reader is gone, or the disk is full: not a busy loop
                return False
        return True


def _queued_handlers() -> list[QueuedHandler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, QueuedHandler)]


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """The end of a process that nobody expected: its traceback must not wait for a reader either."""
    _log.critical("uncaught", exc_info=(kind, error, traceback))


def event(logger: logging.Logger, level: int, name: str, /, **fields: Any) -> None:
    """Log the event `name` with what belongs to it; None fields are left out."""
    if logger.isEnabledFor(level):
        logger.log(level, name, extra={"fields": {k: v for k, v in fields.items() if v is not None}})


def left_behind(_loop: object, context: Mapping[str, Any]) -> None:
    """Log in one line what a library's callback or task ended with that nobody waits for.

    For `loop.set_exception_handler`, where that costs a connection, and its end is handled elsewhere.
    """
    error = context.get("exception")
    event(
        _log, logging.WARNING, "left_behind", detail=context["message"], error=repr(error) if error else None
    )


class Repeated:
    """Events that anybody can cause, as often as they like: they must not fill the disk.

    Of each kind the first few are logged at once, and what goes on coming every ten seconds, with how many
    were left out since (`left_out`). Texts are cut short: others gave them.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        """Log by `logger`; `clock` gives seconds and never goes back."""
        self._logger, self._clock = logger, clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}
        """Of each kind: when the next is logged, and how many were left out."""

    def event(self, level: int, name: str, kind: str = "", /, *, exc_info: Any = None, **fields: Any) -> None:
        """Log the event `name` now and then.

        Args:
            level: of the event.
            name: of the event.
            kind: events of one name and another kind are counted by themselves; there must be few kinds.
            exc_info: of an exception whose traceback belongs to it.
            fields: what belongs to it; None fields are left out.
        """
        now = self._clock()
        with self._lock:
            due, left_out = self._kinds.get((name, kind), (-math.inf, 0))
            if due > now:
                self._kinds[name, kind] = due, left_out + 1
                return
            due = max(due, now - (_REPEATED_AT_ONCE - 1) * _REPEATED_SECONDS) + _REPEATED_SECONDS
            self._kinds[name, kind] = due, 0
        said = {key: _short(value) for key, value in fields.items() if value is not None}
        if left_out:
            said["left_out"] = left_out
        self._logger.log(level, name, exc_info=exc_info, extra={"fields": said})


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _REPEATED_CHARACTERS:
        return f"{value[:_REPEATED_CHARACTERS]}..."
    return value


def _timestamp(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={_quoted(value)}" for key, value in getattr(record, "fields", {}).items())
        text = (
            f"{_timestamp(record)} {record.levelname.lower():7} {record.name} {record.getMessage()}{fields}"
        )
        return (
            f"{text}\n{printable_lines(self.formatException(record.exc_info))}" if record.exc_info else text
        )


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return printable(json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str))


def _quoted(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    plain = text and not any(c.isspace() or c in '"=' for c in text)
    return printable(text if plain else json.dumps(text, ensure_ascii=False))
