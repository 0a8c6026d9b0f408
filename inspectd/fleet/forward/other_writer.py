"""Whether another forwarder writes to the same stream. Pure.

Two hosts that call themselves the same line would take the stream from each other with every verdict, and mix
two lines in it. So a forwarder names itself in each message, and one that finds another at work writes
nothing until that has been silent: the one that writes keeps the stream.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from typing import Final

from inspectd.errors import InspectdError
from inspectd.fleet.streams import StreamEnd

SILENCE_SECONDS: Final = 60.0
"""So long another forwarder, which was seen at work, must have written nothing."""
_DOUBT_SECONDS: Final = 10.0
"""The same of one that may be gone: the line moved, or a forwarder was killed with messages on their way."""


class OtherWriterError(InspectdError):
    """Another forwarder writes to the stream."""


def new_writer() -> str:
    """How a forwarder names itself, for as long as its process lives: its host, and what no other has."""
    return f"{socket.gethostname()}/{secrets.token_hex(8)}"


def host_of(writer: str | None) -> str:
    """The host of a forwarder, for people."""
    return repr(writer.partition("/")[0]) if writer else "an unknown host"


class OtherWriter:
    """Follows who writes to a stream, over all sessions of one forwarder.

    Args:
        own: how this forwarder names itself.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, own: str, clock: Callable[[], float]) -> None:
        self.own = own
        self._clock = clock
        self._known: int | None = None
        """Sequence of the stream's last message that this forwarder knows of; None: it never looked."""
        self._suspect: str | None = None
        self._look_at: float | None = None
        """When it is looked whether the other one has been silent since."""

    def wrote(self, sequence: int) -> None:
        """A message of this forwarder is in the stream."""
        self._known = max(sequence, self._known or 0)

    def seconds_to_wait(self, end: StreamEnd) -> float:
        """How long to wait before the stream is looked at again; 0: it may be written to.

        Args:
            end: where the stream ends now.

        Raises:
            OtherWriterError: another forwarder has written to it while this one did, or waited.
        """
        now = self._clock()
        is_own = end.position is None or end.writer == self.own
        if self._look_at is not None and now < self._look_at and not is_own:
            return self._look_at - now
        if self._known is not None and end.last_sequence < self._known:
            self._known = end.sequence  # the stream was made anew: what was known is of the one before it
        before, self._known = self._known, max(end.sequence, self._known or 0)
        if is_own:
            self._suspect = self._look_at = None
            return 0.0
        if before is None:  # of the same host: this forwarder was started again
            is_suspect = end.writer is not None and host_of(end.writer) != host_of(self.own)
        else:
            is_suspect = end.sequence > before
        if is_suspect:
            is_certain = before is not None and self._suspect == (end.writer or "")
            seconds = SILENCE_SECONDS if is_certain else _DOUBT_SECONDS
            self._suspect, self._look_at = end.writer or "", now + seconds
            if is_certain:
                raise OtherWriterError(
                    f"another forwarder, on {host_of(end.writer)}, writes to it too: {end.position} is from "
                    f"there. This one, on {host_of(self.own)}, writes nothing until the other was silent for "
                    f"{SILENCE_SECONDS:g} s. Stop the one whose host is not the line, or give that line "
                    "another line.name"
                )
            return seconds
        return 0.0
