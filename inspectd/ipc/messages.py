"""The records that more than one child process sends or receives."""

from __future__ import annotations

import msgspec


class CarriesDescriptors(msgspec.Struct, frozen=True, array_like=True):
    """Base of the records that travel with descriptors. A channel refuses those beside any other record."""


class RingReady(CarriesDescriptors, frozen=True, array_like=True, tag="ring_ready"):
    """Capture to main, before its first frame, with the ring's descriptor beside it."""

    camera: str
    generation: int
    slots: int
    slot_bytes: int


class Alive(msgspec.Struct, frozen=True, array_like=True, tag="heartbeat"):
    """Child to main: its loop turns. `progress` counts the turns."""

    progress: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """Child to main, last: why it exits."""

    detail: str
    exit_code: int
    is_replaced: bool = False
    """The program's files are not those of the main process any more: no process can be started."""


class AttachRing(CarriesDescriptors, frozen=True, array_like=True, tag="attach_ring"):
    """Main to a child, with the ring's descriptor beside it: frames may lie in this ring from now on."""

    camera: str
    generation: int


class DetachRing(msgspec.Struct, frozen=True, array_like=True, tag="detach_ring"):
    """Main to a child: no frame lies in this ring any more."""

    camera: str
    generation: int
