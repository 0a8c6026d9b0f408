"""The records that steer child processes, and the unions each channel carries.

A child gets its settings as the first record on its channel, not from the file: a file that was edited
meanwhile cannot make a restarted child differ from the rest, and a camera's password is not in `ps`.
"""

from __future__ import annotations

import msgspec


class RingReady(msgspec.Struct, frozen=True, array_like=True, tag="ring_ready"):
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


class AttachRing(msgspec.Struct, frozen=True, array_like=True, tag="attach_ring"):
    """Main to scoring, with the ring's descriptor beside it: batches may name this ring from now on."""

    camera: str
    generation: int


class DetachRing(msgspec.Struct, frozen=True, array_like=True, tag="detach_ring"):
    """Main to scoring: no batch will name this ring again."""

    camera: str
    generation: int
