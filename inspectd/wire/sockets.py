"""The bus's sockets: names, roles, and causes for refusing a client or cutting it off."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Role(StrEnum):
    """Permission of a key; each TCP socket belongs to one role."""

    READ = "read"
    """Verdicts, heatmaps, previews, snapshot and replay."""
    CONTROL = "control"
    """Triggers."""


class AuthCause(StrEnum):
    """Cause of refusing a client. A closed set: it is a metric label."""

    UNKNOWN_KEY = "unknown_key"
    ROLE = "role"
    """The key is on the list, but without the socket's role."""
    NO_LIST = "no_list"
    """The list of allowed keys cannot be used; the client is asked to try again later."""
    HANDSHAKE = "handshake"
    """No CURVE hand-shake came about: a client without keys, with a wrong server key, or no client at all."""


class CutCause(StrEnum):
    """Cause of ending a client's connection. A closed set: it is a metric label."""

    PARTS = "parts"
    """It sent a message of more parts than any request has."""
    SUBSCRIPTIONS = "subscriptions"
    """It subscribed to more than a reader does, or to topics that this line does not have."""
    HALF_SENT = "half_sent"
    """It began a message, and sent more and more of it."""


class BusSocket(msgspec.Struct, frozen=True):
    """One socket of the bus.

    Attributes:
        role: that a key needs for it.
        is_published: readers subscribe (XPUB); else clients ask and are answered (ROUTER).
    """

    role: Role
    is_published: bool

    @property
    def cut_causes(self) -> tuple[CutCause, ...]:
        """Causes for which a client of this socket may be cut off."""
        return (CutCause.SUBSCRIPTIONS if self.is_published else CutCause.PARTS, CutCause.HALF_SENT)


SOCKETS: Final = {
    "verdicts": BusSocket(Role.READ, is_published=True),
    "heatmaps": BusSocket(Role.READ, is_published=True),
    "previews": BusSocket(Role.READ, is_published=True),
    "sync": BusSocket(Role.READ, is_published=False),
    "control": BusSocket(Role.CONTROL, is_published=False),
}
"""By name: that of a local socket's file, of the setting of a TCP endpoint, and of the ZAP domain."""

PUBLISHED: Final = tuple(name for name, socket in SOCKETS.items() if socket.is_published)
ASKED: Final = tuple(name for name, socket in SOCKETS.items() if not socket.is_published)
TCP_SETTINGS: Final = tuple(f"{name}_tcp" for name in SOCKETS)
"""In the table `publish` of the settings."""
