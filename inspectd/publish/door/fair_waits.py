"""Bounds how long a client's message may have waited in a socket's queue, after those of others. Pure.

libzmq takes clients' messages in turn, one of each that has any. So a message that is next of its client
is read at the latest when every other client had its turn, and one that follows another of its client waited
from when that one came at the earliest.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

_MAX_KNOWN: Final = 4096  # more than there can be clients


class FairWaits:
    """The earliest times at which one socket's messages can have come."""

    def __init__(self, now_ns: int) -> None:
        """The queue is empty now."""
        self._empty_ns = now_ns
        self._reads = 0
        self._times: deque[int] = deque(maxlen=_MAX_KNOWN)
        self._last: OrderedDict[bytes, tuple[int, int]] = (
            OrderedDict()
        )  # which read, when it came at the earliest

    def taken(self, client: bytes, now_ns: int, clients: int, known_ns: int) -> int:
        """A message was read. Returns the earliest time at which it can have come, in ns.

        Args:
            client: who sent it.
            now_ns: the time.
            clients: how many there are.
            known_ns: the queue was empty then, and everything that came before had been read.
        """
        if known_ns > self._empty_ns:
            self._empty_ns = known_ns
            self._times.clear()
            self._last.clear()
        # What one that has gone had sent is still read in its turn.
        clients = max(clients, len(self._last) + (client not in self._last))
        a_round_ago = self._times[-clients] if 0 < clients <= len(self._times) else self._empty_ns
        read, earliest_ns = self._last.pop(client, (0, a_round_ago))
        if self._reads - read > clients:  # its turn came meanwhile, and there was nothing of it
            earliest_ns = a_round_ago
        self._reads += 1
        self._times.append(now_ns)
        self._last[client] = self._reads, earliest_ns
        if len(self._last) > _MAX_KNOWN:
            self._last.popitem(last=False)
        return earliest_ns
