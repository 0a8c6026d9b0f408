"""What the verdict readers share: everything but the waiting. Feeds on messages, holds no socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from inspectd import wire
from inspectd.client import cursor as cursors
from inspectd.client.decode import decode
from inspectd.client.joiner import Item, Joiner, Lost, Numbered
from inspectd.client.tracker import LineTracker, Liveness
from inspectd.errors import InputError
from inspectd.wire import Event, Heartbeat, PartVerdict, Verdict, sync
from inspectd.wire.sync import Position

_MAX_READY: Final = 1000


class Session:
    """One reader's knowledge of one line, and what it still has to say to its caller."""

    def __init__(
        self,
        cursor: Path | None = None,
        *,
        start: Literal["now", "oldest"] = "now",
        patience_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on from `cursor`, or begin at `start`; see `VerdictReader` for the arguments.

        Raises:
            InputError: the cursor file cannot be used.
        """
        self._file = cursor
        stored = cursors.read(cursor) if cursor is not None else None
        self._line = (stored.plant, stored.line) if stored else None
        self._tracker = LineTracker(clock)
        self._joiner = Joiner(
            stored.position if stored else None, start=start, patience_seconds=patience_seconds, clock=clock
        )
        self.position = stored.position if stored else None
        """Everything up to it was given to the caller."""
        self.committed = self.position
        self.events: list[Event] = []
        self.unreadable = 0

    @property
    def liveness(self) -> Liveness:
        """What may be assumed of the line now."""
        return self._tracker.liveness

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The last heartbeat heard."""
        return self._tracker.heartbeat

    @property
    def wake_at(self) -> float | None:
        """When `outgoing` has something to do by itself, in seconds on the clock; None when never."""
        return self._joiner.wake_at

    @property
    def is_full(self) -> bool:
        """True while the caller has so much to take that no more need be read."""
        return len(self._joiner.ready) > _MAX_READY

    def published(self, parts: list[bytes]) -> None:
        """A message arrived on the verdicts socket.

        Raises:
            InputError: it is of another line than this reader's.
        """
        try:
            message = decode(parts)
        except ValueError:
            self.unreadable += 1
            return
        self._check_line(message.plant, message.line)
        match message:
            case Verdict() | PartVerdict():
                self._joiner.live(message)
            case Heartbeat():
                self._tracker.see_heartbeat(message)
                self._joiner.heartbeat(message.epoch, message.last_seq)
            case Event():
                self._tracker.see_event(message)
        if self.position is None and not self._joiner.ready:
            self.position = self._joiner.position

    def answered(self, parts: list[bytes]) -> None:
        """A message arrived on the sync socket."""
        try:
            answer = sync.decode_answer(parts[0])
            verdicts = [self._numbered(header) for header in parts[2::2]]
        except ValueError:
            self.unreadable += 1
            return
        self._joiner.answer(answer, verdicts)

    def outgoing(self) -> bytes | None:
        """A request to send now, if there is one."""
        request = self._joiner.request()
        return wire.encode(request) if request is not None else None

    def next(self) -> Item | None:
        """The next verdict or loss; None until more arrives."""
        if not self._joiner.ready:
            return None
        item = self._joiner.ready.popleft()
        self.position = position_of(item)
        return item

    def commit(self) -> None:
        """Remember on disk that the caller is done with everything it was given.

        Raises:
            UnavailableError: the file cannot be written.
        """
        if self._file is None or self.position in {None, self.committed} or self._line is None:
            return
        assert self.position is not None
        cursors.write(self._file, cursors.Cursor(*self._line, self.position))
        self.committed = self.position

    def _check_line(self, plant: str, line: str) -> None:
        if self._line is None:
            self._line = (plant, line)
        elif self._line != (plant, line):
            raise InputError(
                f"got a message of line {plant}/{line}, expected {'/'.join(self._line)} alone; "
                f"name the endpoint of one line, or another cursor than {self._file}"
            )

    def _numbered(self, header: bytes) -> Numbered:
        message = wire.decode(header)
        if not isinstance(message, Verdict | PartVerdict):
            raise ValueError(  # noqa: TRY004 - what was sent is wrong, not who called
                f"got a {type(message).__name__} in a replay"
            )
        if self._line is not None and (message.plant, message.line) != self._line:
            raise ValueError(f"got a verdict of line {message.plant}/{message.line} in a replay")
        return message


def position_of(item: Item) -> Position:
    """Where the line is read up to, once `item` was given out."""
    if isinstance(item, Lost):
        return Position(item.before.epoch, item.before.seq - 1)
    return Position(item.epoch, item.seq)
