"""The records between the main process and the preview process."""

from __future__ import annotations

import msgspec

from inspectd.ipc.messages import Alive, AttachRing, DetachRing, Failed
from inspectd.records import FrameRef, PreviewResult


class StartPreview(msgspec.Struct, frozen=True, array_like=True, tag="start_preview"):
    """Main to preview, first: how large previews are."""

    width_px: int
    jpeg_quality: int


class MakePreview(msgspec.Struct, frozen=True, array_like=True, tag="make_preview"):
    """Main to preview: make one of this frame, or of its region, which lies in its ring for now."""

    preview_id: int
    frame: FrameRef
    heatmap: bytes
    """`(height, width) float16`, little endian; empty where there is none."""
    threshold: float
    """Of the verdict; 0 where there is no heatmap."""


class PreviewMade(msgspec.Struct, frozen=True, array_like=True, tag="preview_made"):
    """Preview to main: a preview, and its frame is not looked at any more."""

    preview_id: int
    height: int
    width: int
    jpeg: bytes
    heat: bytes
    """A byte for each value of the heatmap, as `wire.heat_of` makes it."""


class PreviewNotMade(msgspec.Struct, frozen=True, array_like=True, tag="preview_not_made"):
    """Preview to main: there will be none of this frame, and it is not looked at any more."""

    preview_id: int
    result: PreviewResult


ToPreview = StartPreview | AttachRing | DetachRing | MakePreview
FromPreview = PreviewMade | PreviewNotMade | Alive | Failed
