"""A two-way channel between the main process and one child: whole records, in order, with descriptors.

A channel is one end of a Unix SOCK_SEQPACKET pair. The kernel keeps message boundaries, reports the other
end's death as end of file, and carries file descriptors; nothing has a name in a file system.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import Any, Final, Generic, TypeVar

import msgspec

from inspectd.errors import InspectdError
from inspectd.ipc.messages import CarriesDescriptors

MAX_MESSAGE_BYTES: Final = 4 << 20
BUFFER_BYTES: Final = 4 << 20
"""Asked of the kernel, which allows `net.core.wmem_max` at most."""
_KEPT_BACK_BYTES: Final = 32
"""Of a buffer by the kernel, from one message (unix_dgram_sendmsg)."""
_MAX_DESCRIPTORS: Final = 8
"""Beside one record; a door gets one for each socket of the bus."""
_DESCRIPTOR_BYTES: Final = 4
_CUT: Final = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)

Received = TypeVar("Received")


class ChannelClosedError(InspectdError):
    """The other process is gone."""


class ChannelFullError(InspectdError):
    """The other process does not read its messages; this one was not sent."""


class ContradictionError(InspectdError):
    """A record is not what its sender was asked for: the sender is at fault, and is replaced."""


class ChannelMessageError(InspectdError):
    """The other process sent something that is not a record of this channel."""


def largest_message_bytes() -> int:
    """How large a message a channel carries on this machine."""
    ends = Channel.pair()
    with ends[0], ends[1]:
        ends[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        had = ends[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return min(MAX_MESSAGE_BYTES, had - _KEPT_BACK_BYTES)


class Channel(Generic[Received]):
    """One end of a channel. Sends any record; receives the union of records it was made for."""

    def __init__(self, end: socket.socket, receives: Any) -> None:
        """Wrap one end.

        Args:
            end: a connected SOCK_SEQPACKET socket; owned by the channel from now on.
            receives: the type, or union of tagged records, that the other end may send.
        """
        end.settimeout(0)
        # A heatmap of a large input is bigger than the default buffer. The limit may be lower than asked.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        self._socket = end
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Received] = msgspec.msgpack.Decoder(receives)
        self._buffer = bytearray(MAX_MESSAGE_BYTES)

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """Two connected ends, one for each process."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        """The descriptor to poll for messages."""
        return self._socket.fileno()

    def send(self, record: msgspec.Struct, fds: tuple[int, ...] = ()) -> None:
        """Send one record, with descriptors beside it, without ever waiting.

        Raises:
            ChannelFullError: the other process has stopped reading.
            ChannelClosedError: the other process is gone, or this end was closed.
            ChannelMessageError: the record is larger than the kernel lets a message be.
        """
        message = self._encoder.encode(record)
        if self._socket.fileno() < 0:
            raise ChannelClosedError("this end was closed")
        try:
            if fds:
                socket.send_fds(self._socket, [message], list(fds))
            else:
                self._socket.send(message)
        except BlockingIOError as error:
            raise ChannelFullError("the other process does not read its messages") from error
        except (BrokenPipeError, ConnectionError) as error:
            raise ChannelClosedError("the other process is gone") from error
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            raise ChannelMessageError(
                f"a record of {len(message)} bytes does not fit the channel; "
                "raise the kernel's net.core.wmem_max"
            ) from error

    def send_wait(self, record: msgspec.Struct, fds: tuple[int, ...] = ()) -> None:
        """Send one record, waiting while the other end's buffer is full. For children.

        Raises:
            ChannelClosedError: the other process is gone.
        """
        while True:
            try:
                return self.send(record, fds)
            except ChannelFullError:
                select.select([], [self._socket], [])

    def receive(self) -> tuple[Received, list[int]] | None:
        """The next record and the descriptors that came with it, or None when there is none yet.

        Raises:
            ChannelClosedError: the other process is gone and everything it sent was read.
            ChannelMessageError: the message is not a record of this channel, or has descriptors beside it
                that such a record does not carry.
        """
        try:
            size, ancillary, flags, _ = self._socket.recvmsg_into(
                [self._buffer],
                socket.CMSG_SPACE(_MAX_DESCRIPTORS * _DESCRIPTOR_BYTES),
                socket.MSG_CMSG_CLOEXEC,
            )
        except BlockingIOError:
            return None
        except ConnectionResetError:
            # The other end was closed before it read all of ours. The kernel reports that once, ahead of what
            # it sent before.
            return self.receive()
        except ConnectionError as error:
            raise ChannelClosedError("the other process is gone") from error
        fds = _descriptors(ancillary)
        if size == 0:
            _close(fds)  # an empty message may have some too
            raise ChannelClosedError("the other process closed its end")
        cut = flags & _CUT
        try:
            record = self._decoder.decode(memoryview(self._buffer)[: 0 if cut else size])
        except msgspec.DecodeError as error:
            _close(fds)
            detail = f"longer than {MAX_MESSAGE_BYTES} bytes" if cut else str(error)
            raise ChannelMessageError(f"not a record of this channel: {detail}") from error
        if fds and not isinstance(record, CarriesDescriptors):
            _close(fds)
            raise ChannelMessageError("sent unexpected descriptors")
        return record, fds

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for a message or for the other end's death; True if there is one. For children."""
        return bool(select.select([self._socket], [], [], timeout_seconds)[0])

    def close(self) -> None:
        """Close this end; the other one reads end of file."""
        self._socket.close()


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            usable = len(data) - len(data) % 4
            fds += [int.from_bytes(data[i : i + 4], "little") for i in range(0, usable, 4)]
    return fds
