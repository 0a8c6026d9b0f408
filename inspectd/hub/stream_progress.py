"""How far a line's stream was read, and whether it still gives what it has. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nats.js import api

STALLED_SECONDS: Final = 20.0


class StreamProgress:
    """Of one line in one session.

    Args:
        sequence: of the last message that was read before.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, sequence: int, clock: Callable[[], float]) -> None:
        self._sequence, self._clock = sequence, clock
        self._is_asked = False
        self._owes_since: float | None = None
        """When it was first seen to have more, though it is asked and has given nothing since."""
        self.info: api.StreamInfo | None = None
        """The stream, as the servers said it last."""

    @property
    def behind(self) -> int | None:
        """Messages that the stream has, and that were not read yet; None: nobody has looked."""
        return None if self.info is None else behind(self.info, self._sequence)

    @property
    def is_stalled(self) -> bool:
        """Whether the stream has more, and does not give it."""
        return self._owes_since is not None and self._clock() - self._owes_since > STALLED_SECONDS

    def has_given(self, messages: int) -> bool:
        """Whether an answer with so many shows that the stream gives what it has: an empty one may not."""
        return messages > 0 or self.behind == 0

    def look_at(self, info: api.StreamInfo) -> None:
        """Take in what the servers say of the stream."""
        self.info = info
        if not self._is_asked or self.behind == 0:
            self._owes_since = None
        elif self._owes_since is None:
            self._owes_since = self._clock()

    def begins(self) -> None:
        """A new consumer is asked, which owes nothing yet."""
        self._is_asked, self._owes_since = False, None

    def asks(self) -> None:
        """The stream is asked for what comes next."""
        self._is_asked = True

    def gave(self) -> None:
        """It gave some: while these wait for the database it is asked for no more, and may well be silent."""
        self.begins()

    def read_up_to(self, sequence: int) -> None:
        """All messages up to that number are in the database, or are known to be gone."""
        self._sequence = sequence


def given_up_to(info: api.StreamInfo) -> int:
    """The number of the last message that a stream has no more, of those before its first; 0: it has all."""
    return min(info.state.last_seq, max(0, info.state.first_seq - 1))


def behind(info: api.StreamInfo, sequence: int) -> int:
    """How many messages after that number a stream still has."""
    return max(0, info.state.last_seq - max(sequence, given_up_to(info)))
