"""TCP ports of the loopback interface that nobody listens on."""

from __future__ import annotations

import secrets
import socket

_FIRST, _AFTER_LAST = 10_000, 32_768
"""Below those that the kernel gives to clients: one of these may be taken before a server has it."""


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    held: list[socket.socket] = []
    while len(held) < count:
        port = _FIRST + secrets.randbelow(_AFTER_LAST - _FIRST)
        try:
            held.append(socket.create_server(("127.0.0.1", port)))
        except OSError:  # somebody has it
            continue
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
