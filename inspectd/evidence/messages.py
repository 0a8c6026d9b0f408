"""The records between the main process and the evidence process."""

from __future__ import annotations

import msgspec

from inspectd.ipc.messages import Alive, AttachRing, DetachRing, Failed
from inspectd.records import EvidenceResult, FrameRef
from inspectd.wire import Rectangle


class StartEvidence(msgspec.Struct, frozen=True, array_like=True, tag="start_evidence"):
    """Main to evidence, first: where to write, and how much."""

    directory: str
    quota_bytes: int
    min_free_bytes: int
    line: str
    """Whose evidence it is: `PLANT/LINE`."""


class SaveEvidence(msgspec.Struct, frozen=True, array_like=True, tag="save_evidence"):
    """Main to evidence: copy this frame out of its ring now, then write it with the rest."""

    evidence_id: int
    frame: FrameRef
    facts: bytes
    """JSON object: everything of `evidence.json` but the files' own descriptions."""
    heatmap: bytes
    """`(heatmap_height, heatmap_width) float16`, little endian; empty where there is none."""
    heatmap_height: int
    heatmap_width: int
    heatmap_rectangle: Rectangle | None = None
    """See `Score.heatmap_rectangle`."""


class Copied(msgspec.Struct, frozen=True, array_like=True, tag="copied"):
    """Evidence to main: the frame's slot is needed no longer."""

    evidence_id: int


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """Evidence to main, last of each piece: its result."""

    evidence_id: int
    result: EvidenceResult


class Level(msgspec.Struct, frozen=True, array_like=True, tag="level"):
    """Evidence to main, every two seconds and at every change: can it write, and how much is there."""

    used_bytes: int
    problem: str | None
    """Reason why nothing can be written; None when it can."""
    stuck: str | None = None
    """Evidence that the quota passed over because it cannot be removed or listed; None if there is none."""


ToEvidence = StartEvidence | AttachRing | DetachRing | SaveEvidence
FromEvidence = Copied | Done | Level | Alive | Failed
