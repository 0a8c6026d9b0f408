"""Answers on their way to clients: each client gets its own in the order in which they were given.

What a client does not take yet is kept for a moment, and what comes for it after that waits behind it: room
in its queue may come in between, and the later answer would go first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from inspectd.publish.door.messages import Delivered, Reply
from inspectd.publish.door.sockets import Delivery

_MAX_KEPT: Final = 128  # replays come on top, of which the line sends a bounded number at once
_UNREAD_NS: Final = 2_000_000_000
"""A client that leaves an answer unread for so long does not get the next."""


class Answers:
    """Sends answers, and keeps those whose clients have no room.

    Args:
        send: sends one, without ever waiting.
        on_delivered: told what became of an answer with a ticket.
        clock: monotonic, in nanoseconds.
    """

    def __init__(
        self,
        send: Callable[[Reply], Delivery],
        on_delivered: Callable[[Delivered], None],
        clock: Callable[[], int],
    ) -> None:
        self._send, self._on_delivered, self._clock = send, on_delivered, clock
        self._kept: dict[tuple[str, bytes], deque[tuple[int, Reply]]] = {}
        """By socket and client, none of them empty; each with the time until which it is kept."""

    def __bool__(self) -> bool:
        """Whether some are kept."""
        return bool(self._kept)

    def give(self, reply: Reply) -> None:
        """Send an answer now, or once its client has taken those before; of too many one is lost."""
        to = reply.socket, reply.client
        if to not in self._kept and self._is_sent(reply):
            return
        if reply.ticket is not None or sum(map(len, self._kept.values())) < _MAX_KEPT:
            self._kept.setdefault(to, deque()).append((self._clock() + _UNREAD_NS, reply))

    def give_again(self) -> None:
        """Send what is kept, as far as the clients take it; what was left unread for too long is lost."""
        now_ns = self._clock()
        for to, kept in list(self._kept.items()):
            while kept:
                until_ns, reply = kept[0]
                if not self._is_sent(reply):
                    if now_ns < until_ns:
                        break
                    self._told(reply, is_sent=False)
                kept.popleft()
            if not kept:
                del self._kept[to]

    def _is_sent(self, reply: Reply) -> bool:
        """Send one; False where its client has no room for it."""
        delivery = self._send(reply)
        if delivery is Delivery.FULL:
            return False
        self._told(reply, is_sent=delivery is Delivery.SENT)
        return True

    def _told(self, reply: Reply, *, is_sent: bool) -> None:
        if reply.ticket is not None:
            self._on_delivered(Delivered(reply.ticket, is_sent))
