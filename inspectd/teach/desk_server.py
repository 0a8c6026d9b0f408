"""The desk's socket: one request and one answer for each connection, from programs of one user alone."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from inspectd import log
from inspectd.errors import InputError, UnavailableError
from inspectd.teach.desk import TeachDesk
from inspectd.teach.desk_messages import MOST_REQUEST_BYTES, DeskAnswer, decode_request

_SECONDS: Final = 10.0
"""A program that sends or reads nothing for so long is cut off."""
_REFUSED_SECONDS: Final = 0.5
"""The same of one whose user may not ask."""
_CREDENTIALS: Final = struct.Struct("3i")

_log: Final = logging.getLogger(__name__)


class DeskServer(socketserver.ThreadingUnixStreamServer):
    """Serves a desk at a socket.

    Args:
        path: of the socket; what lies there is replaced.
        desk: what answers.
        users: ids of those whose programs may ask.
    """

    daemon_threads = True

    def __init__(self, path: Path, desk: TeachDesk, users: Collection[int]) -> None:
        """Listen.

        Raises:
            InputError: the path is too long for a socket.
            UnavailableError: it cannot be made there.
        """
        self.desk, self.users = desk, frozenset(users)
        try:
            path.unlink(missing_ok=True)
            super().__init__(str(path), _Connection)
            path.chmod(0o660)  # of the group; who of it may ask is looked up for each connection
        except OSError as error:
            if "too long" in str(error):
                raise InputError(f"{path}: is too long for a socket; choose a shorter directory") from error
            raise UnavailableError(f"{path}: cannot be listened at: {error.strerror or error}") from error

    def handle_error(self, *_: object) -> None:
        """Log what a program that went away left."""
        log.event(_log, logging.WARNING, "desk_connection_lost")


class _Connection(socketserver.StreamRequestHandler):
    server: DeskServer
    timeout = _SECONDS

    def handle(self) -> None:
        user_id = _user_of(self.connection)
        if user_id not in self.server.users:
            log.event(_log, logging.WARNING, "desk_user_refused", user=user_id)
            self._send(DeskAnswer(what="refused", detail=f"user {user_id} may not ask this desk"), b"")
            self._drop_request()
            return
        try:
            request = decode_request(self.rfile.readline(MOST_REQUEST_BYTES))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._send(DeskAnswer(what="refused", detail=f"the request cannot be read: {error}"), b"")
            return
        self._send(*self.server.desk.answer(request, user_id))

    def _drop_request(self) -> None:
        """Let who is refused read the answer: what was sent and is not read takes it along."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_REFUSED_SECONDS)
        with contextlib.suppress(TimeoutError):
            left = MOST_REQUEST_BYTES
            while left > 0 and (data := self.connection.recv(left)):
                left -= len(data)

    def _send(self, answer: DeskAnswer, picture: bytes) -> None:
        self.wfile.write(msgspec.json.encode(answer) + b"\n" + picture)


def _user_of(connection: socket.socket) -> int:
    """Id of the user whose program is at the other end, as the system has it."""
    _, user_id, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return int(user_id)
