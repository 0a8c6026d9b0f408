"""A program that sends what no socket of the bus can take; it prints its progress, line by line.

`python -m faults.flood SEED COUNT` with the targets, `NAME ENDPOINT PORT` a line, on standard input.
"""

from __future__ import annotations

import json
import random
import socket
import sys
from typing import Final

import zmq

_BURST: Final = 500
_RAW_SHARE: Final = 0.02
_OVERSIZED_SHARE: Final = 0.0005
"""Each costs a connection, so there are fewer of them."""

_LAST_ANSWERS_MS: Final = 500

_GREETING: Final = b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + bytes(48)
"""The first bytes of ZMTP 3.0 (ZeroMQ RFC 23)."""


def malformed(chance: random.Random) -> list[bytes]:
    """One message that no socket of the bus can take, in its parts."""
    match chance.randrange(6):
        case 0:
            return [chance.randbytes(chance.randrange(0, 200)) for _ in range(chance.randrange(1, 6))]
        case 1:
            whole = json.dumps({"schema": "trigger/1", "trigger_id": "x" * 20, "part_id": "y"}).encode()
            return [whole[: chance.randrange(0, len(whole))]]
        case 2:
            wrong = chance.choice([None, 7, -1.5, [], {}, True, "x" * 5000])
            return [json.dumps({"schema": "trigger/1", "trigger_id": wrong}).encode()]
        case 3:
            wrong = chance.choice(["x", 3, [], {"epoch": []}, {"epoch": 2**70, "seq": 1}, -5])
            schema = chance.choice(["replay_request/1", "snapshot_request/1", "x", None])
            return [json.dumps({"schema": schema, "request": 7, "from": wrong, "limit": -1}).encode()]
        case 4:
            depth = chance.randrange(1, 2000)
            inner = b"[" * depth + b"]" * depth
            return [chance.choice([inner, b'{"schema":"replay_request/1","x":' + inner + b"}"])]
        case _:
            return [bytes([chance.randrange(2, 256)]) + b"\x00" * chance.randrange(0, 900)]


def oversized(chance: random.Random) -> list[bytes]:
    """A message above what the sockets take: the connection is closed."""
    return [b"{" + b" " * chance.randrange(66_000, 200_000)]


def send_raw(chance: random.Random, port: int) -> None:
    """Bytes that are no ZMTP, or break off in the middle of it."""
    junk = chance.randbytes(chance.randrange(0, 300))
    if chance.random() < 0.5:
        junk = _GREETING[: chance.randrange(0, len(_GREETING) + 1)] + junk
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(junk)


class Sender:
    """Sends to one socket of the bus, and reads whatever is answered."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, name: str) -> None:
        self._context = context
        self._endpoint = endpoint
        self._kind = zmq.XSUB if name in {"verdicts", "heatmaps", "previews"} else zmq.DEALER
        self.is_asked = self._kind == zmq.DEALER
        self._socket = self._connected()

    def send(self, parts: list[bytes]) -> None:
        """Send one message."""
        self._socket.send_multipart(parts)

    def send_apart(self, parts: list[bytes]) -> None:
        """Send one message over a connection of its own: if that is closed, nothing else is lost with it."""
        with self._connected() as socket:
            socket.send_multipart(parts)

    def take_answers(self, wait_ms: int = 0) -> None:
        """Read what has come, so that the daemon never waits for room, until nothing comes for `wait_ms`."""
        while self._socket.poll(wait_ms):
            self._socket.recv_multipart()

    def _connected(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(self._kind)
        for option, value in ((zmq.LINGER, 1000), (zmq.SNDTIMEO, 10_000)):
            socket.setsockopt(option, value)
        socket.connect(self._endpoint)
        return socket


def main() -> None:
    """Send, and print after each burst how many were sent and how many of them the daemon has to count."""
    chance, count = random.Random(int(sys.argv[1])), int(sys.argv[2])
    targets = [line.split() for line in sys.stdin]
    ports = [int(port) for _, _, port in targets]
    with zmq.Context() as context:
        senders = [
            Sender(context, to, name)
            for name, endpoint, port in targets
            for to in (endpoint, f"tcp://127.0.0.1:{port}")
        ]
        for begin in range(0, count, _BURST):
            sender, burst = chance.choice(senders), min(_BURST, count - begin)
            countable = sum(_send_one(chance, sender, ports) for _ in range(burst))
            for other in senders:
                other.take_answers()
            print(burst, countable if sender.is_asked else 0, flush=True)
        for sender in senders:
            if sender.is_asked:
                # A connection closed with answers unread is reset, and loses what is in flight to the daemon.
                sender.take_answers(_LAST_ANSWERS_MS)
        context.destroy(linger=1000)


def _send_one(chance: random.Random, sender: Sender, ports: list[int]) -> bool:
    """Send one of any kind; False for those that libzmq turns away before the daemon sees them."""
    if chance.random() < _RAW_SHARE:
        send_raw(chance, chance.choice(ports))
        return False
    if chance.random() < _OVERSIZED_SHARE:
        sender.send_apart(oversized(chance))
        return False
    sender.send(malformed(chance))
    return True


if __name__ == "__main__":
    main()
