"""The records that steer child processes, and the unions each channel carries.

A child gets its settings as the first record on its channel, not from the file: a file that was edited
meanwhile cannot make a restarted child differ from the rest, and a camera's password is not in `ps`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from inspectd.config import Camera, Recipe, Scoring
from inspectd.records import Batch, Drop, FrameRef, Score, ScoreError


class StartCapture(msgspec.Struct, frozen=True, array_like=True, tag="start_capture"):
    """Main to capture, first: what to capture, and under which generation number."""

    camera: Camera
    generation: int


class Stop(msgspec.Struct, frozen=True, array_like=True, tag="stop"):
    """Main to capture: read no more frames, send what you have, exit 0."""


class RingReady(msgspec.Struct, frozen=True, array_like=True, tag="ring_ready"):
    """Capture to main, before its first frame, with the ring's descriptor beside it."""

    camera: str
    generation: int
    slots: int
    slot_bytes: int


class CameraPhase(StrEnum):
    """Where a camera stands."""

    OPENING = "opening"
    UP = "up"
    DOWN = "down"
    ENDED = "ended"
    """A file or folder was replayed once and is through; there is nothing to reconnect to."""


class CameraState(msgspec.Struct, frozen=True, array_like=True, tag="camera_state"):
    """Capture to main: the camera's phase changed."""

    camera: str
    phase: CameraPhase
    detail: str = ""


class CameraNotice(msgspec.Struct, frozen=True, array_like=True, tag="camera_notice"):
    """Capture to main: something about the camera that a person should hear of; it goes on delivering."""

    camera: str
    event: str
    detail: str


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="heartbeat"):
    """Child to main: my loop turned. `progress` counts the turns."""

    progress: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """Child to main, last: why I am about to exit."""

    detail: str
    exit_code: int


class StartScoring(msgspec.Struct, frozen=True, array_like=True, tag="start_scoring"):
    """Main to scoring, first: what to load."""

    scoring: Scoring
    recipes: tuple[Recipe, ...]
    max_batch: int


class BankInfo(msgspec.Struct, frozen=True, array_like=True):
    """What scoring loaded for one recipe."""

    recipe: str
    bank_sha256: str
    detector: str
    backbone: str
    rows: int
    dims: int
    input_height: int
    input_width: int
    threshold: float
    image_sizes: tuple[tuple[int, int], ...] = ()
    """Every (height, width) of the images the bank was built from; empty: not recorded."""
    bit_depth: int = 8
    """Bits a channel of those images."""
    any_size: bool = False
    """The recipe has frames of other sizes judged as well."""


class ScoringReady(msgspec.Struct, frozen=True, array_like=True, tag="scoring_ready"):
    """Scoring to main: every bank is loaded and warm."""

    banks: list[BankInfo]
    device: str
    warmup_seconds: float


class AttachRing(msgspec.Struct, frozen=True, array_like=True, tag="attach_ring"):
    """Main to scoring, with the ring's descriptor beside it: batches may name this ring from now on."""

    camera: str
    generation: int


class DetachRing(msgspec.Struct, frozen=True, array_like=True, tag="detach_ring"):
    """Main to scoring: no batch will name this ring again."""

    camera: str
    generation: int


ToCapture = StartCapture | Stop
FromCapture = RingReady | FrameRef | Drop | CameraState | CameraNotice | Heartbeat | Failed
ToScoring = StartScoring | AttachRing | DetachRing | Batch
FromScoring = ScoringReady | Score | ScoreError | Heartbeat | Failed
