"""The line's side of the bus: publishes, takes what clients ask, and answers.

No client reaches this process. Its doors (`publish.door`) are processes of their own, one for local clients
and, where there is TCP, one for that; a channel goes to each. Publishing never waits: what a door does not
take is queued up to a bound in bytes, and lost beyond it, as a slow reader loses messages.
"""

from __future__ import annotations

import select
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from inspectd import wire
from inspectd.config import PublishSettings
from inspectd.ipc.channel import Channel, ChannelClosedError, ChannelFullError, ChannelMessageError
from inspectd.ipc.messages import Alive
from inspectd.publish.access.keys import read_allowed, read_server_pair
from inspectd.publish.door.listeners import Listeners
from inspectd.publish.door.messages import (
    Delivered,
    DoorLevels,
    FromDoor,
    Known,
    Listen,
    Look,
    Publication,
    Reply,
    Request,
    StartDoor,
)
from inspectd.wire.sockets import PUBLISHED

MAX_QUEUED_BYTES: Final = 8 << 20
"""Kept in this process for each door, beside what the kernel keeps."""

_MAX_HEATMAPS_QUEUED_BYTES: Final = 1 << 20
_FLUSH_AGAIN_NS: Final = 1_000_000


class Asker(msgspec.Struct, frozen=True):
    """A client that asked something, for its answer: the door it came to, and its name there."""

    door: str
    client: bytes


class DoorEvents(Protocol):
    """Takes what doors report."""

    def on_request(self, door: str, request: Request, now_ns: int) -> None:
        """A client of `sync` or `control` sent a message."""

    def on_delivered(self, door: str, delivered: Delivered) -> None:
        """An answer with a ticket went out, or never will."""

    def on_door_levels(self, door: str, before: DoorLevels | None, levels: DoorLevels) -> None:
        """A door's levels changed; `before` is None for its first ones."""

    def on_door_lost(self, door: str) -> None:
        """A door is gone, and so are all its clients."""

    def on_triggers_lost(self, from_ns: int, until_ns: int) -> None:
        """Triggers that were sent in this time are lost with a door; it is unknown for which parts."""


class DoorStage:
    """A job for the supervisor: one door, and what waits for it."""

    module = "inspectd.publish.door.worker"
    receives: Any = FromDoor
    start_timeout_ns = 30_000_000_000
    stall_timeout_ns = 3_000_000_000
    stuck: str | None = None

    def __init__(self, side: str, start: StartDoor, listeners: Listeners, events: DoorEvents) -> None:
        """Serve the listeners of `side`, `local` or `tcp`."""
        self.name = f"door:{side}"
        self.arguments: Sequence[str] = ("--side", side)
        self.levels: DoorLevels | None = None
        self.lost_messages = 0
        """Messages that the door did not take, or that came while it was away, since this was set to 0."""
        self._side = side
        self._start = start
        self._listeners = listeners.local if side == "local" else listeners.tcp
        self._events = events
        self._channel: Channel[Any] | None = None
        self._queue: deque[tuple[Publication | Reply, int]] = deque()
        self._queued_bytes = 0
        self._serves_control = "control" in self._listeners
        self._known_ns = 0
        self._opened_ns = time.monotonic_ns()
        self._is_looking = self._is_anew = False

    def started(self, channel: Channel[Any]) -> None:
        """Send the door its settings and listeners."""
        channel.send(msgspec.structs.replace(self._start, since_ns=self._known_ns))
        fds = tuple(listener.fileno() for listener in self._listeners.values())
        channel.send(Listen(list(self._listeners)), fds)
        self._channel = channel

    def received(self, record: Any, fds: list[int], now_ns: int) -> None:  # noqa: ARG002 - a door sends none
        """See `Job.received`."""
        if isinstance(record, Request):
            self._events.on_request(self._side, record, now_ns)
        elif isinstance(record, Delivered):
            self._events.on_delivered(self._side, record)
        elif isinstance(record, Known):
            self._is_looking = False
            if record.until_ns > self._known_ns:
                if self._is_anew:
                    # What was sent to the lost door, or while there was none, cannot be recovered.
                    self._is_anew = False
                    self._events.on_triggers_lost(self._known_ns, record.until_ns)
                self._known_ns = record.until_ns
        elif isinstance(record, DoorLevels):
            before, self.levels = self.levels, record
            self._events.on_door_levels(self._side, before, record)
        elif not isinstance(record, Alive):
            raise TypeError(f"not a record of a door: {record!r}")

    def lost(self, cause: str, exit_code: int | None, now_ns: int) -> None:  # noqa: ARG002
        """The door is gone; its clients will find the next one, and fetch what they missed."""
        self._channel = None
        self._is_looking = False
        self._is_anew = True
        self._known_ns = (
            self._known_ns or self._opened_ns
        )  # nobody may have asked yet, before the first frame
        self.levels = None
        self.lost_messages += len(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        self._events.on_door_lost(self._side)

    def send(self, record: Publication | Reply) -> bool:
        """Send or queue a message, without ever waiting; False if it is lost."""
        if self._channel is None:
            self.lost_messages += 1
            return False
        size = sum(map(len, record.parts)) + 256
        is_heatmap = record.socket == "heatmaps"
        bound = _MAX_HEATMAPS_QUEUED_BYTES if is_heatmap else MAX_QUEUED_BYTES
        if self._queued_bytes + size > bound + (size if not self._queue else 0):
            self.lost_messages += 1
            return False
        self._queue.append((record, size))
        self._queued_bytes += size
        self.flush()
        return True

    def offer(self, record: Publication) -> bool:
        """Send a message that is worth nothing later, if there is room for it now; False if it is lost."""
        if self._channel is None or self._queue:
            return False
        try:
            self._channel.send(record)
        except (ChannelFullError, ChannelMessageError):
            return False
        except ChannelClosedError:  # reading the channel reports it next
            self._channel = None
            return False
        return True

    def known_ns(self, now_ns: int) -> int:
        """The time up to which all triggers at this door were handed over; stands still while it is away."""
        return self._known_ns if self._serves_control else now_ns

    @property
    def may_have_lost_triggers(self) -> bool:
        """Since a door was lost it is not known yet until when those are lost that were sent to it."""
        return self._serves_control and self._is_anew

    def look(self) -> None:
        """Ask the door for a newer `known_ns`."""
        if self._serves_control and self._channel is not None and not self._is_looking:
            try:
                self._channel.send(Look())
            except (ChannelFullError, ChannelClosedError):
                return  # it is asked again at the next turn, or its loss is reported
            self._is_looking = True

    def flush(self) -> None:
        """Send what waits, as far as the door takes it."""
        while self._queue and self._channel is not None:
            record, size = self._queue[0]
            try:
                self._channel.send(record)
            except ChannelFullError:
                return
            except ChannelMessageError:  # larger than this machine's kernel lets a message be
                self.lost_messages += 1
            except ChannelClosedError:  # reading the channel reports it next
                self._channel = None
                return
            self._queue.popleft()
            self._queued_bytes -= size

    @property
    def has_unsent(self) -> bool:
        """Something waits for the door."""
        return bool(self._queue) and self._channel is not None

    def wait_until_taken(self, until_s: float) -> None:
        """At the end of the line: have the door take what waits, until this time of the monotonic clock."""
        while self.has_unsent and self._channel is not None and time.monotonic() < until_s:
            select.select([], [self._channel], [], 0.05)
            self.flush()


class Bus:
    """Publishes at every door; what clients ask comes from any."""

    def __init__(
        self,
        settings: PublishSettings,
        runtime_dir: Path,
        plant: str,
        line: str,
        on_published: Callable[[str], None],
        *,
        events: DoorEvents,
        is_triggered: bool,
        keys_dir: Path | None = None,
    ) -> None:
        """Listen in `runtime_dir`, and over TCP where the settings ask for it; `doors` are to be started.

        Args:
            settings: endpoints and queue sizes.
            runtime_dir: an existing directory for the local sockets.
            plant: first name in every topic.
            line: second name in every topic.
            on_published: takes the kind of each message that was sent.
            events: takes what doors report.
            is_triggered: cameras of the line wait for triggers.
            keys_dir: keys of the TCP endpoints; None: plain TCP.

        Raises:
            InputError: a key file is missing, wrong, or open to others.
            UnavailableError: an endpoint cannot be bound.
        """
        self._plant = plant
        self._line = line
        self._on_published = on_published
        if keys_dir is not None:  # a door would report it only when it is too late
            read_server_pair(keys_dir)
            read_allowed(keys_dir)
        self._listeners = Listeners(settings, runtime_dir)
        prefix = wire.prefix(plant, line)
        keys = str(keys_dir) if keys_dir is not None else None
        sides = {"local": None, "tcp": keys} if self._listeners.tcp else {"local": None}
        self.doors = {
            side: DoorStage(side, StartDoor(settings, prefix, keys, is_triggered), self._listeners, events)
            for side, keys in sides.items()
        }

    def send(
        self, camera: str, kind: wire.Kind, header: msgspec.Struct, payload: bytes | None = None
    ) -> None:
        """Publish one message.

        Args:
            camera: third name in the topic; `-` for the whole line.
            kind: what it is; heatmaps go out on their own socket.
            header: the message's JSON part.
            payload: what follows the header, if anything does.
        """
        parts = [wire.topic(self._plant, self._line, camera, kind), wire.encode(header)]
        if payload is not None:
            parts.append(payload)
        self._publish("heatmaps" if kind is wire.Kind.HEATMAP else "verdicts", kind, parts)

    def send_encoded(self, kind: wire.Kind, topic: bytes, header: bytes) -> None:
        """Publish a verdict whose bytes are made already."""
        self._publish("verdicts", kind, [topic, header])

    def preview_topics(self) -> set[bytes]:
        """Beginnings of topics that readers of previews subscribe to now, at any door."""
        return {topic for door in self.doors.values() if door.levels for topic in door.levels.preview_topics}

    def offer_preview(self, header: wire.PreviewHeader, jpeg: bytes, heat: bytes) -> bool:
        """Publish a preview where somebody looks at its camera; False if no door takes it now."""
        topic = wire.topic(self._plant, self._line, header.camera, wire.Kind.PREVIEW)
        publication = Publication("previews", [topic, wire.encode(header), jpeg, heat])
        is_sent = False
        for door in self.doors.values():
            if door.levels is not None and topic.startswith(tuple(door.levels.preview_topics)):
                is_sent = door.offer(publication) or is_sent
        if is_sent:
            self._on_published(wire.Kind.PREVIEW)
        return is_sent

    def _publish(self, socket: str, kind: wire.Kind, parts: list[bytes]) -> None:
        publication = Publication(socket, parts)
        for door in self.doors.values():
            # A heatmap is large: it goes where somebody is there for it.
            if socket != "heatmaps" or (door.levels is not None and door.levels.subscriptions["heatmaps"]):
                door.send(publication)
        self._on_published(kind)

    def reply(self, socket: str, asker: Asker, parts: list[bytes], ticket: int | None = None) -> bool:
        """Answer a client of `sync` or `control`; False if its door cannot be had.

        With a ticket, `DoorEvents.on_delivered` follows.
        """
        return self.doors[asker.door].send(Reply(socket, asker.client, parts, ticket))

    def known_ns(self, now_ns: int) -> int:
        """The time up to which every trigger that came was handed over, by the monotonic clock."""
        return min(door.known_ns(now_ns) for door in self.doors.values())

    @property
    def uncertain_door(self) -> str | None:
        """A door whose triggers may be lost, so that nobody knows whose a frame is; None: there is none."""
        return next((door.name for door in self.doors.values() if door.may_have_lost_triggers), None)

    def look(self) -> None:
        """Ask the doors for a newer `known_ns`."""
        for door in self.doors.values():
            door.look()

    def flush(self) -> None:
        """Send what waits for a door."""
        for door in self.doors.values():
            door.flush()

    def wake_ns(self, now_ns: int) -> int | None:
        """When `flush` has something to do; None when never."""
        return now_ns + _FLUSH_AGAIN_NS if any(door.has_unsent for door in self.doors.values()) else None

    def subscriptions(self) -> Counter[str]:
        """Number of subscriptions that readers hold, by socket."""
        held: Counter[str] = Counter(dict.fromkeys(PUBLISHED, 0))
        for door in self.doors.values():
            if door.levels is not None:
                held.update(door.levels.subscriptions)
        return held

    def removed_sockets(self) -> list[Path]:
        """See `Listeners.removed`."""
        return self._listeners.removed()

    def finish(self, seconds: float) -> None:
        """At the end of the line: have the doors take the last messages, in so many seconds at most."""
        until = time.monotonic() + seconds
        for door in self.doors.values():
            door.wait_until_taken(until)

    def close(self) -> None:
        """Take the sockets away; the doors' processes are the supervisor's to end."""
        self._listeners.close()
