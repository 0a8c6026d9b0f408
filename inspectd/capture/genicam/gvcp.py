"""Two requests of GigE Vision's control protocol that need no control: who are you, and who controls you.

Aravis asks the same, but of a camera that is gone it says so after three seconds and more, while nothing else
can be done. Layout: GigE Vision 2.x, GVCP; bootstrap registers.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple, Self

from inspectd.capture.driver import CameraError
from inspectd.text import printable

PORT: Final = 3956
_HEADER: Final = struct.Struct(">BBHHH")
_ACK: Final = struct.Struct(">HHHH")
_KEY, _ANSWER_WANTED = 0x42, 0x01
_DISCOVERY, _DISCOVERY_ACK = 0x0002, 0x0003
_READ_REGISTER, _READ_REGISTER_ACK = 0x0080, 0x0081
_CONTROL_REGISTER: Final = 0x0A00
_CONTROL_BITS: Final = 0b11
_HEARTBEAT_REGISTER: Final = 0x0938
_DISCOVERY_BYTES: Final = 248
_ANSWER_SECONDS: Final = 0.3
_TRIES: Final = 2
_IP_MTU: Final = 14


class GigeIdentity(NamedTuple):
    """What a camera says of itself, and from which address of this machine it was asked."""

    address: str
    interface: str
    mac: str
    vendor: str
    model: str
    serial: str
    user_name: str

    def __str__(self) -> str:
        """In one line, for a person."""
        named = f' named "{self.user_name}"' if self.user_name else ""
        return f"{self.vendor} {self.model} serial {self.serial}{named}, mac {self.mac}, at {self.address}"


def who_are_you(flags: int) -> bytes:
    """The request, number 1, that every camera answers without being controlled."""
    return _HEADER.pack(_KEY, flags, _DISCOVERY, 0, 1)


def identify(address: str) -> GigeIdentity | None:
    """Ask the camera at an address who it is; None where none answers within 0.3 s. Nothing is broadcast."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_ANSWER_SECONDS)
        try:
            asking.connect((address, PORT))
            asking.send(who_are_you(_ANSWER_WANTED))
            answer = asking.recv(2048)
            interface: str = asking.getsockname()[0]
        except OSError:
            return None
    return identity_of(answer, interface, address)


def identity_of(answer: bytes, interface: str, address: str | None = None) -> GigeIdentity | None:
    """Who answered the request number 1 to say who it is; None where the answer is no such thing.

    Args:
        answer: as it came.
        interface: of this machine, by which it was asked.
        address: the camera's; None: as it says itself.
    """
    if len(answer) < _ACK.size + _DISCOVERY_BYTES:
        return None
    status, command, _, number = _ACK.unpack_from(answer)
    if (status, command, number) != (0, _DISCOVERY_ACK, 1):
        return None
    said = answer[_ACK.size :]
    return GigeIdentity(
        socket.inet_ntoa(said[0x24:0x28]) if address is None else address,
        interface,
        said[0x0A:0x10].hex(":"),
        _text(said[0x48:0x68]),
        _text(said[0x68:0x88]),
        _text(said[0xD8:0xE8]),
        _text(said[0xE8:0xF8]),
    )


def _text(field: bytes) -> str:
    return printable(field.split(b"\0", 1)[0].decode("utf-8", errors="replace").strip())


def path_mtu_bytes(address: str) -> int:
    """Largest packet that the way to an address is known to take, in bytes; 0 where there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((address, PORT))
            return asking.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError:
            return 0


def is_controlled(address: str) -> bool:
    """Whether a program controls the camera at an address; False where none answers within 0.3 s."""
    return bool((_register(address, _CONTROL_REGISTER) or 0) & _CONTROL_BITS)


def is_there(address: str) -> bool:
    """Whether the camera at an address answers one of two requests, each within 0.3 s: one may be lost."""
    return any(_register(address, _CONTROL_REGISTER) is not None for _ in range(_TRIES))


def heartbeat_ms(address: str) -> int | None:
    """How long a camera waits for a sign of life before it ends control; None where it does not answer."""
    return _register(address, _HEARTBEAT_REGISTER)


def _register(address: str, register: int) -> int | None:
    """Value of one of a camera's own registers; None where it does not say it within 0.3 s."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_ANSWER_SECONDS)
        try:
            asking.connect((address, PORT))
            asking.send(_read_request(1, register))
            return _value_of(asking.recv(2048))
        except OSError:
            return None


def _read_request(number: int, register: int) -> bytes:
    return _HEADER.pack(_KEY, _ANSWER_WANTED, _READ_REGISTER, 4, number) + register.to_bytes(4, "big")


def _value_of(answer: bytes) -> int | None:
    """A register's value by the answer; None where that does not say it."""
    if len(answer) < _ACK.size + 4 or _ACK.unpack_from(answer)[:2] != (0, _READ_REGISTER_ACK):
        return None
    return int.from_bytes(answer[_ACK.size : _ACK.size + 4], "big")


class ControlWatch:
    """Asks a camera again and again who controls it, and notices within a second that it is gone.

    What counts is how many requests in a row stayed without an answer, not the time: a process that did not
    run for a while has asked nothing.
    """

    EVERY_NS: Final = 180_000_000
    UNANSWERED: Final = 4

    def __init__(self, address: str) -> None:
        """Watch the camera at `address`."""
        self._address = address
        self._number = 0
        self._unanswered = 0
        self._due_ns = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        try:
            self._socket.connect((address, PORT))
        except OSError as error:
            self._socket.close()
            raise CameraError(f"no way to {address}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def turn(self, now_ns: int) -> None:
        """Take answers, and ask again if it is time.

        Args:
            now_ns: CLOCK_MONOTONIC.

        Raises:
            CameraError: it does not answer any more, or nobody controls it.
        """
        self._take()
        if now_ns < self._due_ns:
            return
        if self._unanswered >= self.UNANSWERED:
            seconds = self.UNANSWERED * self.EVERY_NS / 1e9
            raise CameraError(
                f"did not answer at {self._address} for {seconds:.1f} s; is it switched on and connected?"
            )
        self._number = self._number % 0xFFFF + 1
        self._due_ns = now_ns + self.EVERY_NS
        self._unanswered += 1
        try:
            self._socket.send(_read_request(self._number, _CONTROL_REGISTER))
        except OSError:
            return  # the network is gone, or nobody listens there: it counts as unanswered

    def close(self) -> None:
        """Watch no longer."""
        self._socket.close()

    def _take(self) -> None:
        while True:
            try:
                answer = self._socket.recv(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier request was turned away; each such report is given once
            if len(answer) < _ACK.size:
                continue
            _, command, _, number = _ACK.unpack_from(answer)
            if command != _READ_REGISTER_ACK or not 0 <= (self._number - number) % 0xFFFF < self.UNANSWERED:
                continue
            self._unanswered = 0
            value = _value_of(answer)
            if value is not None and not value & _CONTROL_BITS:
                raise CameraError(
                    f"at {self._address} is no longer under this line's control: it restarted, or another "
                    "program took it (close that program)"
                )
