"""One reader's state for one line, fed with messages. Holds no socket and waits for nothing.

`Session.steps` yields what a reader has to do next. A reader does it, blocking or in an event loop:

    for step in session.steps(timeout_seconds):
        if not isinstance(step, Wait):
            return step
        ...  # send step.request, wait until step.seconds passed or a message came, take it in
    return None
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from inspectd import wire
from inspectd.client import cursor as cursors
from inspectd.client.clock import clock_seconds
from inspectd.client.cursor import Cursor
from inspectd.client.decode import decode
from inspectd.client.joiner import Item, Joiner, Lost, Numbered, Unread
from inspectd.client.recorded import Replayed
from inspectd.client.tracker import LineTracker, Liveness
from inspectd.errors import InputError
from inspectd.wire import Event, Heartbeat, PartVerdict, Verdict, sync
from inspectd.wire.golden import GoldenRecord
from inspectd.wire.sync import Position

_MAX_READY: Final = 1000
"""With so many items ready no more is read: the socket's own queue is the place for it."""


class Wait(msgspec.Struct, frozen=True):
    """Send `request` on the sync socket, if there is one; then wait for messages, at most so long."""

    request: bytes | None = None
    seconds: float = 0.0

    @property
    def milliseconds(self) -> int:
        """The longest wait."""
        return max(0, round(self.seconds * 1000))


class Session:
    """One reader's state for one line, and the items its caller has not taken yet."""

    def __init__(
        self,
        cursor: Path | Cursor | None = None,
        *,
        line: tuple[str, str] | None = None,
        start: Literal["now", "oldest"] = "now",
        patience_seconds: float = 10.0,
        clock: Callable[[], float] = clock_seconds,
        on_event: Callable[[Event], None] = lambda _: None,
        on_golden: Callable[[GoldenRecord], None] = lambda _: None,
    ) -> None:
        """Go on from `cursor`, or begin at `start`; see `VerdictReader` for the arguments.

        Raises:
            InputError: the cursor file cannot be used, or is of another line than `line`.
        """
        self._file = cursor if isinstance(cursor, Path) else None
        stored = cursors.read(cursor) if isinstance(cursor, Path) else cursor
        self._line = line
        if stored is not None:
            self._check_line("a cursor", stored.plant, stored.line)
        self._clock = clock
        self._on_event, self._on_golden = on_event, on_golden
        self._tracker = LineTracker(clock)
        self._joiner: Joiner[Replayed] = Joiner(
            stored.position if stored else None, start=start, patience_seconds=patience_seconds, clock=clock
        )
        self.position = stored.position if stored else None
        """Everything up to it was given to the caller."""
        self.committed = self.position
        self.unreadable = 0
        """Messages that are not in this format; each was skipped."""
        self.header = b""
        """Of the verdict that the caller was given last, as it was published; empty: it was given none."""

    @property
    def liveness(self) -> Liveness:
        """See `LineTracker.liveness`."""
        return self._tracker.liveness

    @property
    def cursor(self) -> Cursor | None:
        """Where a reader goes on after everything that was given to the caller; None before the first."""
        if self.position is None or self._line is None:
            return None
        return Cursor(*self._line, self.position)

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The last heartbeat received."""
        return self._tracker.heartbeat

    @property
    def is_caught_up(self) -> bool:
        """All that the line says it has published was given to the caller; False before it says anything."""
        is_known = self.heartbeat is not None and self.position is not None
        return is_known and not self._joiner.is_behind and not self._joiner.ready

    def steps(self, timeout_seconds: float) -> Iterator[Wait | Item]:
        """Yields any number of waits, then one item; ends without one when time is up."""
        deadline = self._clock() + timeout_seconds
        if len(self._joiner.ready) <= _MAX_READY:
            yield Wait()
        while not self._joiner.ready:
            request = self._joiner.request()
            now = self._clock()
            until = min(deadline, self._joiner.wake_at or deadline)
            yield Wait(wire.encode(request) if request else None, until - now)
            if now >= deadline:
                break
        if self._joiner.ready:
            given = self._joiner.ready.popleft()
            item = given if isinstance(given, Lost) else given.verdict
            self.header = b"" if isinstance(given, Lost) else given.header
            self.position = position_of(item)
            yield item

    def published(self, parts: list[bytes]) -> None:
        """Take in a message of the verdicts socket.

        Raises:
            InputError: it is of another line than this reader's.
        """
        try:
            message = decode(parts)
        except ValueError:
            self.unreadable += 1
            return
        self._check_line("a message", message.plant, message.line)
        match message:
            case Verdict() | PartVerdict():
                self._joiner.live(Replayed(message, parts[1]))
            case Heartbeat():
                self._tracker.see_heartbeat(message)
                self._joiner.heartbeat(message.epoch, message.last_seq)
            case Event():
                self._tracker.see_event(message)
                self._on_event(message)
            case GoldenRecord():
                self._on_golden(message)
        if self.position is None and not self._joiner.ready:
            self.position = self._joiner.position

    def answered(self, parts: list[bytes]) -> None:
        """Take in a message of the sync socket.

        Raises:
            InputError: it has a verdict of another line than this reader's.
        """
        try:
            answer = sync.decode_answer(parts[0])
        except ValueError:
            self.unreadable += 1
            return
        verdicts: list[Replayed | Unread] = []
        for header in parts[2::2]:
            try:
                verdicts.append(Replayed(self._numbered(header), header))
            except ValueError:  # asked for again, it would be the same: it comes as `Lost`
                self.unreadable += 1
                with contextlib.suppress(ValueError):
                    verdicts.append(msgspec.json.decode(header, type=Unread))
        for each in verdicts:
            named = each.verdict if isinstance(each, Replayed) else each
            self._check_line("a verdict", named.plant, named.line)
        self._joiner.answer(answer, verdicts)

    def commit(self, up_to: Position | None = None) -> None:
        """Remember on disk that the caller is done with everything it was given, or given up to there.

        Raises:
            UnavailableError: the file cannot be written.
        """
        position = self.position if up_to is None else up_to
        if self._file is None or position is None or position == self.committed or self._line is None:
            return
        cursors.write(self._file, Cursor(*self._line, position))
        self.committed = position

    def _check_line(self, what: str, plant: str, line: str) -> None:
        if self._line is None:
            self._line = (plant, line)
        elif self._line != (plant, line):
            cursor = f", or the cursor {self._file}" if self._file else ""
            raise InputError(
                f"got {what} of line {plant}/{line}, expected {'/'.join(self._line)} alone; correct the "
                f"endpoint, or which line is meant (line.plant, line.name){cursor}"
            )

    def _numbered(self, header: bytes) -> Numbered:
        message = wire.decode(header)
        if not isinstance(message, Verdict | PartVerdict):
            raise ValueError(  # noqa: TRY004 - what was sent is wrong, not who called
                f"got a {type(message).__name__} in a replay"
            )
        return message


def position_of(item: Item) -> Position:
    """Where the line is read up to, once `item` was given out."""
    if isinstance(item, Lost):
        return Position(item.before.epoch, item.before.seq - 1)
    return Position(item.epoch, item.seq)
