"""A door: the process that serves a line's local sockets, or its TCP ones. Clients reach no other process.

libzmq bounds neither the descriptors nor the memory that clients cost it, and ends its process when there are
no more. Here that ends a door, which is replaced within a second; verdicts are made, recorded and, at the
other door, read meanwhile. It decides nothing: what clients send goes to the main process, a few at a time.
"""

from __future__ import annotations

import resource
import socket
import sys
import time
from collections import Counter, deque
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from inspectd.errors import ExitCode
from inspectd.ipc import child
from inspectd.ipc.channel import Channel, ChannelClosedError, ChannelFullError, ChannelMessageError
from inspectd.ipc.io_thread import IoThreads
from inspectd.ipc.messages import Alive
from inspectd.ipc.poller import LOOK_MS, Poller
from inspectd.publish.access.auth import KeysChange
from inspectd.publish.door.answers import Answers
from inspectd.publish.door.half_sent import MAX_MEMORY_BYTES
from inspectd.publish.door.messages import (
    Delivered,
    DoorLevels,
    Known,
    Listen,
    Look,
    Publication,
    Reply,
    Request,
    StartDoor,
    ToDoor,
)
from inspectd.publish.door.sockets import Delivery, Sockets
from inspectd.wire.sockets import ASKED, PUBLISHED, AuthCause

_RECORDS_PER_TURN: Final = 256
_TURN_NS: Final = 50_000_000
_LET_IN_NS: Final = 200_000_000
"""Readers that waited for the door are let in before the first message goes out, so that they get it."""

_AGAIN_NS: Final = 1_000_000
_RECONNECT_NS: Final = 2_000_000_000
"""By then clients of the door before this one have come back, with what they kept meanwhile."""
_LOOK_EVERY_NS: Final = 2_000_000
_READ_NS: Final = 300_000_000
"""An answer is read within so long by whoever waits for it, on a busy machine too."""


class Door:
    """Carries messages between clients and the main process."""

    def __init__(self, channel: Channel[Any], start: StartDoor, listeners: dict[str, socket.socket]) -> None:
        """Serve `listeners`, all of them local or all of them TCP.

        Raises:
            InputError: a key file is missing, wrong, or open to others.
        """
        self._channel = channel
        self._refused: Counter[tuple[str, str]] = Counter()
        is_local = all(listener.family == socket.AF_UNIX for listener in listeners.values())
        self._sockets = Sockets(
            start.settings,
            start.prefix,
            listeners if is_local else {},
            {} if is_local else listeners,
            keys_dir=Path(start.keys_dir) if start.keys_dir is not None else None,
            on_refused=self._refuse,
        )
        self._io_threads = IoThreads()
        self._poller = Poller(
            is_handed_on=self._io_threads.are_asleep,
            look_ms=LOOK_MS if start.is_triggered else _TURN_NS // 1_000_000,
        )
        self._held: deque[Request | Delivered] = deque()
        self._answers = Answers(self._answer, self._held.append, time.monotonic_ns)
        self._answered_ns = 0
        self._changes: deque[KeysChange] = deque()
        self._told: DoorLevels | None = None
        self._due_ns = 0
        self._turns = 0
        self._asking = [name for name in ASKED if name in listeners]
        self._is_asked = False
        self._is_to_look = False
        self._look_ns = 0
        self._since_ns = start.since_ns
        self._settled_ns = time.monotonic_ns() + _RECONNECT_NS
        for name in PUBLISHED:
            if name in listeners:
                self._poller.add(self._sockets.socket(name), partial(self._sockets.read_subscriptions, name))
        for source, callback in self._sockets.sources():
            self._poller.add(source, callback)
        self._ask()
        self._begins_ns: int | None = time.monotonic_ns() + _LET_IN_NS

    def live(self) -> ExitCode:
        """Serve until the main process closes the channel; all it sent before that goes out."""
        try:
            while True:
                has_to_go_on = self._held or self._answers or self._is_to_look
                self._poller.wait(_AGAIN_NS if has_to_go_on else _TURN_NS)
                if self._begins_ns is not None and time.monotonic_ns() >= self._begins_ns:
                    self._begins_ns = None
                    self._poller.add(self._channel, self._take)
                self._answers.give_again()
                self._say_held()
                self._say_known()
                if time.monotonic_ns() >= self._due_ns:
                    self._due_ns = time.monotonic_ns() + _TURN_NS
                    self._tell()
        finally:
            # Where a connection ends, libzmq drops what a client that keeps no requests has not read yet: the
            # last answer of a line would be lost to whoever waits for it.
            time.sleep(max(0, self._answered_ns + _READ_NS - time.monotonic_ns()) / 1e9)
            self._sockets.close()
            self._io_threads.close()

    # --- from the main process ----------------------------------------------------------------------------

    def _take(self) -> None:
        for _ in range(_RECORDS_PER_TURN):
            received = self._channel.receive()
            if received is None:
                return
            record, _ = received
            if isinstance(record, Publication):
                self._sockets.publish(record.socket, record.parts)
            elif isinstance(record, Reply):
                self._answers.give(record)
            elif isinstance(record, Look):
                self._is_to_look = True
            else:
                raise TypeError(f"not a record for a door: {record!r}")

    def _answer(self, reply: Reply) -> Delivery:
        self._answered_ns = time.monotonic_ns()
        return self._sockets.reply(reply.socket, reply.client, reply.parts)

    # --- to the main process ------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Read clients' requests from now on."""
        if not self._is_asked:
            self._is_asked = True
            for name in self._asking:
                self._poller.add(self._sockets.socket(name), partial(self._request, name))

    def _ask_no_more(self) -> None:
        """Stop reading: the main process has enough to do. What clients send waits in their queues."""
        if self._is_asked:
            self._is_asked = False
            for name in self._asking:
                self._poller.remove(self._sockets.socket(name))

    def _request(self, name: str) -> None:
        known_ns = self._poller.known_ns(self._sockets.socket(name))
        for request in self._sockets.requests(name, known_ns):
            came_ns = min(request.came_ns, self._late_since_ns())
            self._held.append(msgspec.structs.replace(request, came_ns=came_ns))
        self._say_held()

    def _say_held(self) -> None:
        while self._held:
            if not self._say(self._held[0]):
                self._ask_no_more()
                return
            self._held.popleft()
        self._ask()

    def _say_known(self) -> None:
        """If asked: send the time up to which everything sent to `control` has been handed over."""
        now_ns = time.monotonic_ns()
        if self._is_to_look and self._is_asked and now_ns >= self._look_ns:
            self._look_ns = now_ns + _LOOK_EVERY_NS
            control = self._sockets.socket("control")
            known_ns = min(self._poller.known_ns(control), self._late_since_ns())
            self._is_to_look = not self._say(Known(known_ns))

    def _late_since_ns(self) -> int:
        """Earliest time at which what comes now may have been sent: clients keep it until there is a door."""
        now_ns = time.monotonic_ns()
        return self._since_ns if self._since_ns and now_ns < self._settled_ns else now_ns

    def _say(self, record: Request | Delivered | Known | DoorLevels | Alive) -> bool:
        try:
            self._channel.send(record)
        except ChannelFullError:
            return False
        except ChannelClosedError:
            return True  # nobody is there for it; what was sent before is still to be read, and then the end
        return True

    def _tell(self) -> None:
        """Send the door's levels when they have changed, else a heartbeat."""
        sockets = self._sockets
        change = sockets.maintain()
        if change is not None:
            self._changes.append(change)
        levels = DoorLevels(
            {name: connections.count for name, connections in sockets.connections.items()},
            [name for name, connections in sockets.connections.items() if connections.is_shut],
            dict(sockets.subscriptions),
            dict(sockets.malformed),
            [(name, str(cause), count) for (name, cause), count in sorted(sockets.cut_off.items())],
            [(name, cause, count) for (name, cause), count in sorted(self._refused.items())],
            self._changes[0] if self._changes else None,
            sockets.keys_unread,
            sockets.keys_allowed,
            sockets.preview_topics,
        )
        self._turns += 1
        if levels != self._told or levels.change is not None or levels.refused:
            if self._say(levels):
                self._told = levels
                self._refused.clear()
                if levels.change is not None:
                    self._changes.popleft()
        else:
            self._say(Alive(self._turns))

    def _refuse(self, name: str, cause: AuthCause) -> None:
        self._refused[name, str(cause)] += 1


def _listeners(channel: Channel[Any]) -> dict[str, socket.socket]:
    """The listening sockets that the main process hands over.

    Raises:
        ChannelClosedError: the main process is gone.
        ChannelMessageError: it sent something else, or nothing in time.
    """
    channel.wait(30.0)
    received = channel.receive()
    if received is None or not isinstance(received[0], Listen) or len(received[0].names) != len(received[1]):
        raise ChannelMessageError(f"got {received!r} as the second record, expected listeners")
    listen, fds = received
    return {name: socket.socket(fileno=fd) for name, fd in zip(listen.names, fds, strict=True)}


def _live(channel: Channel[Any], start: StartDoor) -> ExitCode:
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    # A core dump would hold the line's secret key, and half a gigabyte.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return Door(channel, start, _listeners(channel)).live()


def main() -> ExitCode:
    """Run a door."""
    parser = child.argument_parser("inspectd.publish.door.worker", "A door of the daemon.")
    parser.add_argument("--side", required=True, choices=["local", "tcp"], help="for `ps`: whom it serves")
    return child.run(parser, ToDoor, StartDoor, _live)


if __name__ == "__main__":
    sys.exit(main())
