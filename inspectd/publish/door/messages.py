"""The records between the main process and a door."""

from __future__ import annotations

import msgspec

from inspectd.config import PublishSettings
from inspectd.ipc.messages import Alive, CarriesDescriptors, Failed
from inspectd.publish.access.auth import KeysChange


class StartDoor(msgspec.Struct, frozen=True, array_like=True, tag="start_door"):
    """Main to door, first: settings and keys."""

    settings: PublishSettings
    prefix: bytes
    """Of every topic of the line."""
    keys_dir: str | None
    """Directory of the keys that clients need; None: they need none."""
    is_triggered: bool
    """Cameras of the line wait for triggers: when one came is to be known exactly."""
    since_ns: int = 0
    """For a door that takes another one's place: what comes may have been sent since then."""


class Listen(CarriesDescriptors, frozen=True, array_like=True, tag="listen"):
    """Main to door, second, with the listeners' descriptors beside it: the sockets' names, in their order."""

    names: list[str]


class Publication(msgspec.Struct, frozen=True, array_like=True, tag="publication"):
    """Main to door: send this to every reader of the socket that wants it."""

    socket: str
    parts: list[bytes]


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="reply"):
    """Main to door: answer a client. With a ticket, the door returns a `Delivered`."""

    socket: str
    client: bytes
    parts: list[bytes]
    ticket: int | None = None


class Look(msgspec.Struct, frozen=True, array_like=True, tag="look"):
    """Main to door: send a `Known`, soon."""


class Known(msgspec.Struct, frozen=True, array_like=True, tag="known"):
    """Door to main: all that came to `control` until then, by the monotonic clock, was handed over before."""

    until_ns: int


class Request(msgspec.Struct, frozen=True, array_like=True, tag="request"):
    """Door to main: a client's message.

    Attributes:
        socket: `sync` or `control`.
        client: who sent it, by its name at the door.
        parts: the first of its parts, one more than a request may have at most.
        came_ns: when it came at the earliest, by the monotonic clock of the host.
        key: name of the client's key; empty: it has none.
    """

    socket: str
    client: bytes
    parts: list[bytes]
    came_ns: int
    key: str = ""

    def unwrapped(self) -> tuple[list[bytes], list[bytes]]:
        """What goes before the answer's parts, and the message's own.

        A REQ socket puts an empty part before its message and wants it back; a DEALER need not.
        """
        begin = 1 if len(self.parts) > 1 and not self.parts[0] else 0
        return self.parts[:begin], self.parts[begin:]


class Delivered(msgspec.Struct, frozen=True, array_like=True, tag="delivered"):
    """Door to main: an answer with a ticket went out, or never will: its client is gone or does not read."""

    ticket: int
    is_sent: bool


class DoorLevels(msgspec.Struct, frozen=True, array_like=True, tag="door_levels"):
    """Door to main: its levels, by socket.

    Attributes:
        connections: open now.
        shut: sockets that take no more.
        subscriptions: held now.
        malformed: messages other than a subscription to this line's topics, since the door began.
        cut_off: socket, cause and number of connections ended for what they sent, since the door began.
        refused: socket, cause and number of clients refused since the last of these records.
        change: of the list of allowed keys.
        keys_unread: the disk of that list does not answer.
        keys_allowed: number of keys on it; None: clients need none.
        preview_topics: beginnings of topics that readers of previews subscribe to; many: one for all of them.
    """

    connections: dict[str, int]
    shut: list[str]
    subscriptions: dict[str, int]
    malformed: dict[str, int]
    cut_off: list[tuple[str, str, int]]
    refused: list[tuple[str, str, int]]
    change: KeysChange | None
    keys_unread: bool
    keys_allowed: int | None = None
    preview_topics: list[bytes] = []


ToDoor = StartDoor | Listen | Publication | Reply | Look
FromDoor = Request | Delivered | Known | DoorLevels | Alive | Failed
