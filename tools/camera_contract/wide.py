"""A way to a GigE Vision camera on which the numbers of its frames become those of GigE Vision 2.x."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from typing import Final, Self

from faults.gige_camera import ADDRESS

WIDE_ADDRESS: Final = "127.0.0.2"
_PORT: Final = 3956
_WRITES: Final = (0x0082, 0x0086)
"""Of a register, and of memory at its address: for four bytes they look alike."""
_STREAM_PORT: Final = 0x0D00
WIDE_FROM: Final = 65_529
"""The camera's frame 1 gets this number, so that the numbers soon go on beyond 65535."""
_EXTENDED: Final = 0x80
_LOOK_SECONDS: Final = 0.1


class WideIdsRelay:
    """Passes on what a line and the camera at 127.0.0.1 tell each other, as a camera at 127.0.0.2.

    A frame's pixels have to fit one packet: the longer head of a wide packet would shift the ones after it.
    """

    def __init__(self) -> None:
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._relay, name="relay", daemon=True)
        self._door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._frames = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._port = 0
        self._behind: dict[tuple[str, int], socket.socket] = {}
        """Of each of the line's sockets, the one that speaks to the camera in its place."""

    def __enter__(self) -> Self:
        self._door.bind((WIDE_ADDRESS, _PORT))
        self._frames.bind((ADDRESS, 0))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._off.set()
        self._thread.join()
        for each in (self._door, self._frames, *self._behind.values()):
            each.close()

    def _relay(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (self._door, self._frames):
                selector.register(each, selectors.EVENT_READ)
            while not self._off.is_set():
                for key, _ in selector.select(_LOOK_SECONDS):
                    try:
                        self._pass_on(key.fileobj, key.data, selector)
                    except ConnectionRefusedError:
                        continue  # the camera is off, as it may be

    def _pass_on(self, through: object, asker: tuple[str, int], selector: selectors.BaseSelector) -> None:
        if through is self._door:
            request, asker = self._door.recvfrom(65_536)
            if asker not in self._behind:
                behind = self._behind[asker] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                behind.connect((ADDRESS, _PORT))
                selector.register(behind, selectors.EVENT_READ, asker)
            self._behind[asker].send(self._rewritten(request))
        elif through is self._frames:
            packet = self._frames.recv(65_536)
            if self._port:
                self._frames.sendto(_widened(packet), (ADDRESS, self._port))
        else:
            self._door.sendto(self._behind[asker].recv(65_536), asker)

    def _rewritten(self, request: bytes) -> bytes:
        """The request, with frames sent here instead of to whoever asks."""
        if len(request) != 16 or struct.unpack_from(">H", request, 2)[0] not in _WRITES:
            return request
        register, value = struct.unpack_from(">II", request, 8)
        if register == _STREAM_PORT and value & 0xFFFF:
            self._port = value & 0xFFFF
            return request[:12] + struct.pack(">I", self._frames.getsockname()[1])
        return request


def _widened(packet: bytes) -> bytes:
    """A packet of a frame with the head of GigE Vision 2.x: a number of 64 bits, and a packet's of 32."""
    status, frame, what = struct.unpack_from(">HHI", packet)
    head = struct.pack(
        ">HHIQI", status, 0, _EXTENDED << 24 | what & 0x7F00_0000, frame - 1 + WIDE_FROM, what & 0xFF_FFFF
    )
    return head + packet[8:]
