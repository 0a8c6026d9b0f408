"""The listening sockets of a line, local and TCP. The main process opens them and never accepts from them.

They outlive the processes that serve them (`publish.door`): while one is replaced, its clients wait in the
kernel's queue, and nobody else can take a port or a socket's name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inspectd.config import PublishSettings, tcp_address
from inspectd.errors import UnavailableError
from inspectd.wire.sockets import SOCKETS

_BACKLOG: Final = 100
_DRAINED_BYTES: Final = 1 << 20  # at a time


class Listeners:
    """A listening socket for each of the bus's sockets at each door, by the socket's name."""

    def __init__(self, settings: PublishSettings, runtime_dir: Path) -> None:
        """Listen in `runtime_dir`, and over TCP where the settings ask for it.

        Raises:
            UnavailableError: an endpoint cannot be bound.
        """
        self.local: dict[str, socket.socket] = {}
        self.tcp: dict[str, socket.socket] = {}
        self._paths = {name: runtime_dir / f"{name}.sock" for name in SOCKETS}
        try:
            for name, path in self._paths.items():
                self.local[name] = _listen_local(path)
            for name in SOCKETS:
                address = getattr(settings, f"{name}_tcp")
                if address:
                    self.tcp[name] = _listen_tcp(f"publish.{name}_tcp", address)
        except BaseException:  # a signal ends a start by SystemExit; it leaves no socket either
            self.close()
            raise

    def removed(self) -> list[Path]:
        """Local sockets whose files are there no more, so that nobody new can connect."""
        return [path for path in self._paths.values() if not _is_there(path)]

    def close(self) -> None:
        """Listen no more, and take the local sockets' files away."""
        for listener in (*self.local.values(), *self.tcp.values()):
            listener.close()
        for name in self.local:  # what is in the place of one that could not be bound is not ours
            self._paths[name].unlink(missing_ok=True)
            shut_path(self._paths[name]).unlink(missing_ok=True)


def shut_path(path: Path) -> Path:
    """The path of a local socket's file while nobody may connect."""
    return path.with_name(f"{path.name}.shut")


def _is_there(path: Path) -> bool:
    """Whether a local socket's file is there, open or shut; a door may rename it between two looks."""
    return any(os.path.lexists(name) for name in (path, shut_path(path), path))


def _listen_local(path: Path) -> socket.socket:
    def bind(listener: socket.socket) -> None:
        path.unlink(
            missing_ok=True
        )  # of a daemon that was killed: the directory is locked, there is no other
        shut_path(path).unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o660)

    hint, folder = "choose another one or stop what uses it", path.parent
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        hint = (
            f"this user may not write to {folder}, which belongs to user {folder.stat().st_uid}: "
            "remove it, or choose another directory"
        )
    return _listening(socket.AF_UNIX, bind, f"line.runtime_dir: cannot bind ipc://{path}", hint)


def _listen_tcp(setting: str, address: str) -> socket.socket:
    host, port = tcp_address(address, anywhere=True)
    bare = "127.0.0.1" if host == "localhost" else host.strip("[]")

    def bind(listener: socket.socket) -> None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((bare, port))

    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    hint = "choose another one or stop what uses it"
    return _listening(family, bind, f"{setting}: cannot bind tcp://{address}", hint)


def _listening(family: int, bind: Callable[[socket.socket], None], what: str, hint: str) -> socket.socket:
    listener: socket.socket | None = None
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        bind(listener)
        listener.listen(_BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        # What Python itself raises for a name that is too long has no number.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UnavailableError(f"{what}: {reason}; {hint}") from error
    listener.settimeout(0)
    return listener


def hang_up(fd: int) -> None:
    """End the connection that is this process's descriptor `fd`, whoever uses it."""
    try:
        copy = os.dup(fd)
    except OSError as error:
        if error.errno != errno.EBADF:  # it ended meanwhile
            raise
        return
    with contextlib.suppress(OSError), socket.socket(fileno=copy) as connection:  # it ended, or is no socket
        connection.shutdown(socket.SHUT_RDWR)
        # What the kernel still holds of it is not to be read by whoever uses it: it may be a lot.
        while connection.recv(_DRAINED_BYTES, socket.MSG_DONTWAIT):
            pass
