"""Looks for GigE Vision cameras by a broadcast, one network interface of this machine after the other.

Aravis looks too, but does not say through which interface a camera answered, and that is what a person at a
machine with a card for the plant and another for cameras wants to know.
"""

from __future__ import annotations

import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from inspectd.capture.genicam.gvcp import PORT, GigeIdentity, identify, identity_of, who_are_you

_ANSWER_BY_BROADCAST: Final = 0x11
"""A camera whose address is not in the interface's network can be heard only so."""
_IP_PKTINFO: Final = 8
_PKTINFO: Final = struct.Struct("=i4s4s")
_NETWORKS: Final = Path("/sys/class/net")
_ANSWERS_SECONDS: Final = 0.5
_MOST: Final = 256
"""Cameras of one network; whoever may send there can answer for any number."""
_ASKED_AT_ONCE: Final = 32


class GigeAnswer(msgspec.Struct, frozen=True):
    """A camera that answered, and whether the line can reach it."""

    camera: GigeIdentity
    is_reachable: bool
    """False: it answers broadcasts only, as its address is not in this machine's network."""


class InterfaceAsked(msgspec.Struct, frozen=True):
    """One network interface, and what was found through it."""

    interface: str
    mtu_bytes: int
    problem: str
    """Why no broadcast could go out; empty if it did."""
    found: list[GigeAnswer]


def interfaces() -> list[str]:
    """Names of this machine's network interfaces."""
    return [name for _, name in socket.if_nameindex()]


def ask_interface(name: str) -> InterfaceAsked:
    """Broadcast into the network of one interface (UDP, port 3956), and take answers for a while.

    Args:
        name: of the interface.
    """
    answers: dict[str, GigeIdentity] = {}
    problem = ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            through = _PKTINFO.pack(socket.if_nametoindex(name), bytes(4), bytes(4))
            control = [(socket.IPPROTO_IP, _IP_PKTINFO, through)]
            asking.sendmsg([who_are_you(_ANSWER_BY_BROADCAST)], control, 0, ("255.255.255.255", PORT))
            end = time.monotonic() + _ANSWERS_SECONDS
            while (left := end - time.monotonic()) > 0:
                asking.settimeout(left)
                found = identity_of(asking.recv(2048), name)
                if found is not None:
                    answers[found.mac] = found
                if len(answers) == _MOST:
                    problem = f"{_MOST} answered, and no more were waited for"
                    break
        except TimeoutError:
            pass  # all that answer in time have answered
        except OSError as error:
            problem = f"not asked: {error.strerror or error}"
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as asked:
        return InterfaceAsked(name, _mtu_bytes(name), problem, list(asked.map(_reached, answers.values())))


def _reached(found: GigeIdentity) -> GigeAnswer:
    asked = identify(found.address)
    return GigeAnswer(found, is_reachable=asked is not None and asked.mac == found.mac)


def _mtu_bytes(name: str) -> int:
    try:
        return int((_NETWORKS / name / "mtu").read_text())
    except (OSError, ValueError):
        return 0
