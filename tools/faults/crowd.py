"""A program that strains the sockets of the bus beneath ZeroMQ's client side, which would hold it back.

`python -m faults.crowd WHAT SEED MAIN_PID AMOUNT SECONDS`, with the targets, `NAME ADDRESS` a line, on
standard input; an address is a socket's path or a port of the loopback interface. Prints what came of it as
JSON.

- `idle`: hold so many connections for so many seconds, opening again what is closed; local ones and TCP
  ones, which ask for a key.
- `idle-without-keys`: the same, where they do not.
- `endless`: send so many bytes, as messages of very many parts that hardly end.
- `subscribe`: make so many subscriptions, no two alike.

What is sent is spread over so many seconds. It ends early when the main process has grown past reason, so
that a daemon without bounds does not take the machine with it.
"""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from faults import processes

_ENOUGH_MIB: Final = 1500
_CONNECT_SECONDS: Final = 1.0
_SEND_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.02
_OPENED_A_LOOK: Final = 100
_BURST_SUBSCRIPTIONS: Final = 2000
_TOPIC_BYTES: Final = 1000
_PART_BYTES: Final = {"verdicts": 1000, "heatmaps": 1000, "previews": 1000, "sync": 65_000, "control": 65_000}
_EMPTY_SHARE: Final = 0.2
"""Of the bytes; each empty part takes two."""

_CHUNK_BYTES: Final = 260_000
_BACK_OFF_SECONDS: Final = 0.01

_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
"""ZMTP 3.0 without keys (ZeroMQ RFC 23)."""

_SOCKET_TYPE: Final = {
    "verdicts": b"SUB",
    "heatmaps": b"SUB",
    "previews": b"SUB",
    "sync": b"DEALER",
    "control": b"DEALER",
}

Target = tuple[str, str]


def connected(address: str) -> socket.socket:
    """A connection that has sent nothing.

    Raises:
        OSError: it is refused.
    """
    is_port = address.isdecimal()
    connection = socket.socket(socket.AF_INET if is_port else socket.AF_UNIX)
    connection.settimeout(_CONNECT_SECONDS)
    try:
        connection.connect(("127.0.0.1", int(address)) if is_port else address)
    except OSError:
        connection.close()
        raise
    return connection


def greeted(target: Target) -> socket.socket:
    """A connection that has shaken hands, as a ZeroMQ client of that socket does.

    Raises:
        OSError: it is refused, or closed meanwhile.
    """
    name, address = target
    connection = connected(address)
    try:
        connection.sendall(_GREETING)
        _read(connection, len(_GREETING))
        kind = _SOCKET_TYPE[name]
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
        ready += b"\x08Identity" + struct.pack(">I", 0)
        connection.sendall(bytes([4, len(ready)]) + ready)
        _read(connection, _read(connection, 2)[1])
    except OSError:
        connection.close()
        raise
    connection.settimeout(_SEND_SECONDS)
    return connection


def _read(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        more = connection.recv(size - len(got))
        if not more:
            raise ConnectionResetError("closed in the hand-shake")
        got += more
    return got


class Crowd:
    """Strains the targets, and counts the results."""

    def __init__(self, targets: list[Target], seed: int, main_pid: int, amount: int, seconds: float) -> None:
        self.told: Counter[str] = Counter()
        self._targets = targets
        self._random = random.Random(seed)
        self._main_pid = main_pid
        self._amount = amount
        self._seconds = seconds
        self._began = time.monotonic()

    def idle(self, *, with_keys: bool) -> None:
        """Every other connection shakes hands where no key is asked for; the others send nothing at all."""
        held: dict[int, socket.socket] = {}
        poll = select.poll()
        while time.monotonic() - self._began < self._seconds and self._is_bearable:
            for _ in range(min(_OPENED_A_LOOK, self._amount - len(held))):
                try:
                    target = self._targets[self.told["opened"] % len(self._targets)]
                    asks_for_key = with_keys and target[1].isdecimal()
                    greets = self.told["opened"] // len(self._targets) % 2 and not asks_for_key
                    connection = greeted(target) if greets else connected(target[1])
                except OSError:
                    self.told["refused"] += 1
                    break
                finally:
                    self.told["opened"] += 1
                held[connection.fileno()] = connection
                poll.register(connection, select.POLLIN)
            for descriptor, _ in poll.poll(0):
                if self._is_closed(held[descriptor]):
                    self.told["closed by the daemon"] += 1
                    poll.unregister(descriptor)
                    held.pop(descriptor).close()
            self.told["most at once"] = max(self.told["most at once"], len(held))
            time.sleep(_LOOK_SECONDS)

    def endless(self) -> None:
        """One message after the other, of large parts and of empty ones; each ends after its bytes."""
        share = self._amount // len(self._targets)
        items = [(target, is_empty) for target in self._targets for is_empty in (False, True)]
        self._random.shuffle(items)
        for number, (target, is_empty) in enumerate(items):
            until = self._begin(number, len(items))
            size = 0 if is_empty else _PART_BYTES[target[0]]
            part = struct.pack(">BQ", 3, size) + bytes(size) if size else b"\x01\x00"
            chunk = part * (_CHUNK_BYTES // len(part))
            left = int(share * (_EMPTY_SHARE if is_empty else 1 - _EMPTY_SHARE))
            self._send(target, [chunk] * (1 + left // len(chunk)), until, last=b"\x00\x00")

    def subscribe(self) -> None:
        """Subscriptions in bursts, each burst by a reader of its own that stays."""
        bursts = max(1, self._amount // _BURST_SUBSCRIPTIONS)
        with contextlib.ExitStack() as stay:
            for number in range(bursts):
                until = self._begin(number, bursts)
                name, address = self._targets[number % len(self._targets)]
                frames = [self._subscription() for _ in range(self._amount // bursts)]
                self._send((name, address), frames, until, stay=stay)

    def _subscription(self) -> bytes:
        topic = b"\x01" + self._random.randbytes(self._random.randint(4, _TOPIC_BYTES))
        return struct.pack(">BQ", 2, len(topic)) + topic

    def _send(
        self,
        target: Target,
        pieces: list[bytes],
        until: float,
        *,
        last: bytes = b"",
        stay: contextlib.ExitStack | None = None,
    ) -> None:
        """Send the pieces one after the other; where the daemon hangs up, connect again and go on."""
        waiting: Iterator[bytes] = iter([*pieces, last])
        while time.monotonic() < until and self._is_bearable:
            try:
                connection = greeted(target)
            except OSError:
                self.told["refused"] += 1
                time.sleep(_BACK_OFF_SECONDS)
                continue
            with connection if stay is None else contextlib.nullcontext():
                if stay is not None:
                    stay.enter_context(connection)
                try:
                    for piece in waiting:
                        connection.sendall(piece)
                        self.told["bytes"] += len(piece)
                        self.told["pieces"] += 1
                        if self.told["pieces"] % 100 == 0 and (
                            time.monotonic() > until or not self._is_bearable
                        ):
                            break
                    else:
                        return
                except OSError:
                    self.told["cut off"] += 1
                    time.sleep(_BACK_OFF_SECONDS)

    def _begin(self, number: int, count: int) -> float:
        """Wait for the turn of one of so many; when that turn is over."""
        turn = self._seconds / count
        time.sleep(max(0.0, self._began + number * turn - time.monotonic()))
        return self._began + (number + 1) * turn

    @property
    def _is_bearable(self) -> bool:
        """The main process runs and has not grown past reason."""
        if not processes.is_running(self._main_pid):
            self.told["the main process was gone"] = 1
            return False
        if processes.rss_bytes(self._main_pid) < _ENOUGH_MIB * 2**20:
            return True
        self.told["broken off"] = 1
        return False

    @staticmethod
    def _is_closed(connection: socket.socket) -> bool:
        try:
            return not connection.recv(65_536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True


def main() -> None:
    """Do what the arguments ask for, and print the counts."""
    what, seed, main_pid, amount, seconds = sys.argv[1:]
    targets: list[Target] = [(name, address) for name, address in map(str.split, sys.stdin)]
    crowd = Crowd(targets, int(seed), int(main_pid), int(amount), float(seconds))
    acts: dict[str, Callable[[], None]] = {
        "idle": partial(crowd.idle, with_keys=True),
        "idle-without-keys": partial(crowd.idle, with_keys=False),
        "endless": crowd.endless,
        "subscribe": crowd.subscribe,
    }
    try:
        acts[what]()
    finally:
        print(json.dumps(crowd.told), flush=True)


if __name__ == "__main__":
    main()
