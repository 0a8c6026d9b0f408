"""A client beneath ZeroMQ's client side, which would hold it back."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Final

_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def shake_hands(path: Path, kind: bytes) -> socket.socket:
    """A client of ZMTP 3.0 over a raw socket, which may then send whatever it likes."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(path))
    connection.sendall(_GREETING)
    got = b""
    while len(got) < 64:
        got += connection.recv(64 - len(got))
    ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    ready += b"\x08Identity" + struct.pack(">I", 0)
    connection.sendall(bytes([4, len(ready)]) + ready)
    connection.recv(connection.recv(2)[1])
    return connection
