"""Where this process is not let in, though something answers there: over all its connections.

Programs make their readers anew, and ask anew, while a line stays as it is: what one connection sees is too
little to say a thing once, and to knock seldom.
"""

from __future__ import annotations

import logging
import threading
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from inspectd.client.clock import clock_seconds
from inspectd.client.decode import MAX_MESSAGE_BYTES

_SAID_AGAIN_SECONDS: Final = 60.0
"""After so long without a refusal the next one is said again."""
_STARTING_SECONDS: Final = 5.0
"""A line that starts or stops, and a tunnel to one, breaks off for less."""
_STILL_SECONDS: Final = 15.0
"""Longer than from one attempt to the next: who was not refused within it is not locked out any more."""

_log: Final = logging.getLogger(__name__)


class Refused(StrEnum):
    """How a connection did not come about. Its value is the event in the log."""

    KEY = "line_refuses_key"
    NO_LINE = "line_not_understood"
    BROKEN_OFF = "line_breaks_off"
    """The hand-shake was broken off or not answered. A line whose own key is another one does so, and one of
    two that has keys where the other has none, mostly: which side of the two notices it first is chance."""
    UNREADABLE = "line_sent_unreadable"
    """It was let in, and ended by a message that ZeroMQ cannot take. The next one mostly comes about."""
    CANNOT_CONNECT = "line_cannot_be_connected"
    """The endpoint or a key file cannot be used; nothing was asked of the line."""
    NOT_MADE_AGAIN = "line_not_connected_again"
    """The same, or ZeroMQ waits for a name server: where the line is known by a host's name, nothing tells
    the two apart."""


_ENDED: Final = frozenset({Refused.UNREADABLE, Refused.NOT_MADE_AGAIN})
"""Of connections that were let in: one that is let in again does not end these, which may come again."""


class _Refusal(msgspec.Struct):
    since: float
    last: float
    detail: str
    remedy: str
    is_said: bool = False


class LockedOut:
    """What is refused, by endpoint and how. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refusals: dict[tuple[str, Refused], _Refusal] = {}

    def refused(self, endpoint: str, how: Refused, server_key: Path | None, now: float) -> None:
        """A connection did not come about; where that lasts, it is said once in the log.

        Args:
            endpoint: of the line.
            how: as it was seen.
            server_key: the file with the line's key; None: there are no keys.
            now: seconds on a clock that never goes back.
        """
        self._note(endpoint, how, words(how, server_key), now)

    def cannot_connect(self, endpoint: str, problem: str, now: float) -> None:
        """No connection could be made by a program that goes on; said once in the log.

        Args:
            endpoint: of the line.
            problem: what cannot be used, and why.
            now: seconds on a clock that never goes back.
        """
        remedy = "the file or folder that it names, and who may read it; what is connected stays connected"
        self._note(endpoint, Refused.CANNOT_CONNECT, (problem, remedy), now)

    def _note(self, endpoint: str, how: Refused, told: tuple[str, str], now: float) -> None:
        with self._lock:
            refusal = self._refusals.get((endpoint, how))
            if refusal is None or now - refusal.last >= _SAID_AGAIN_SECONDS:
                refusal = self._refusals[endpoint, how] = _Refusal(now, now, *told)
            refusal.last = now
            if refusal.is_said or (how is Refused.BROKEN_OFF and now - refusal.since < _STARTING_SECONDS):
                return
            refusal.is_said = True
        fields = {"endpoint": endpoint, "detail": f"{refusal.detail}; tried again every few seconds"}
        _log.warning(
            how, extra={"fields": fields | {"remedy": refusal.remedy}}
        )  # as `inspectd.log` takes them

    def let_in(self, endpoint: str) -> None:
        """A connection came about."""
        with self._lock:
            for how in set(Refused) - _ENDED:
                self._refusals.pop((endpoint, how), None)

    def problems(self, now: float | None = None) -> dict[str, str]:
        """By endpoint, what was said in the log and is still so: why, and what to look at."""
        now = clock_seconds() if now is None else now
        with self._lock:
            return {
                endpoint: f"{refusal.detail}: {refusal.remedy}"
                for (endpoint, how), refusal in self._refusals.items()
                if refusal.is_said and now - refusal.last < _STILL_SECONDS and how not in _ENDED
            }


locked_out: Final = LockedOut()
"""Of this process."""


def words(how: Refused, server_key: Path | None) -> tuple[str, str]:
    """What is wrong, and what to look at; `server_key` is the file with the line's key."""
    if how is Refused.KEY:
        return "the line does not allow this program's key here", "inspectd keys list, inspectd keys allow"
    if how is Refused.NO_LINE:
        return (
            "expected a line, with keys where this program has some",
            "the endpoint, and the settings of its keys",
        )
    unreadable = f"a message that is damaged, or longer than {MAX_MESSAGE_BYTES // 2**20} MiB"
    between = "what lies between this program and the line, such as a relay; is it a line?"
    if how is Refused.UNREADABLE:
        return f"{unreadable}, ended the connection", between
    if how is Refused.NOT_MADE_AGAIN:
        ended = "the connection ended, and none is made again: the name server does not answer, or"
        found = "whether the name of the line's host is found at once here (getent hosts NAME)"
        return f"{ended} {unreadable}, ended it", f"{found}; {between}"
    seen = "something is there, and breaks the hand-shake off or does not answer it"
    may_hang = "is it the line, and does it hang?"
    if server_key is None:
        return f"{seen}: the line may have keys, and this program has none", (
            f"has the line a security.keys_dir? Then give this program a key; where not: {may_hang}"
        )
    differs = f"{seen}: the line's key may be another than the one in {server_key}, or it has none"
    compare = (
        "compare it with server.key in security.keys_dir of the line: where they differ, put that in its"
    )
    return differs, f"{compare} place and start this program again; where not: {may_hang}"
