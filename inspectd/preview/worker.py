"""The preview process: reads frames in the rings and makes small pictures of them. Nobody waits for it."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any, Final

from inspectd import wire
from inspectd.errors import ExitCode
from inspectd.ipc import child
from inspectd.ipc.channel import Channel, ChannelMessageError
from inspectd.ipc.messages import AttachRing, DetachRing
from inspectd.ipc.ring import FrameRing, RingError
from inspectd.preview.messages import MakePreview, PreviewMade, PreviewNotMade, StartPreview, ToPreview
from inspectd.records import PreviewResult

_IDLE_SECONDS: Final = 1.0
_NICE: Final = 15
"""The verdicts' processes go first, and evidence too."""


class PreviewWorker:
    """Makes previews as they are asked for, one after another."""

    def __init__(self, channel: Channel[Any], start: StartPreview) -> None:
        """Serve `channel`, making previews as `start` sets out."""
        self._channel = channel
        self._start = start
        self._heart = child.Heart(channel)
        self._rings: dict[tuple[str, int], FrameRing] = {}

    def live(self) -> ExitCode:
        """Serve until the main process closes the channel.

        Raises:
            ChannelClosedError: it did.
        """
        while True:
            self._heart.beat()
            if self._channel.wait(_IDLE_SECONDS):
                self._take()

    def _take(self) -> None:
        received = self._channel.receive()
        if received is None:
            return
        record, fds = received
        if isinstance(record, MakePreview):
            try:
                self._channel.send_wait(self._answer(record))
            except ChannelMessageError:  # a heat beyond all that detectors make
                self._channel.send_wait(PreviewNotMade(record.preview_id, PreviewResult.NOT_TAKEN))
        elif isinstance(record, AttachRing):
            self._rings[record.camera, record.generation] = FrameRing.attach(fds[0])
        elif isinstance(record, DetachRing):
            self._rings.pop((record.camera, record.generation)).close()
        else:
            raise TypeError(f"not a record for a preview process: {record!r}")

    def _answer(self, request: MakePreview) -> PreviewMade | PreviewNotMade:
        # Only now: on most lines nobody ever looks, and OpenCV takes a second and most of the memory.
        from inspectd.preview.picture import small_jpeg  # noqa: PLC0415

        frame = request.frame
        try:
            ring = self._rings[frame.camera, frame.generation]
            made = small_jpeg(ring.view(frame), self._start.width_px, self._start.jpeg_quality)
        except (KeyError, RingError):
            return PreviewNotMade(request.preview_id, PreviewResult.GONE)
        if not ring.holds(frame):  # it was given up, and written over, while it was looked at
            return PreviewNotMade(request.preview_id, PreviewResult.GONE)
        jpeg, height, width = made
        scores = struct.unpack(f"<{len(request.heatmap) // 2}e", request.heatmap)
        return PreviewMade(request.preview_id, height, width, jpeg, wire.heat_of(scores, request.threshold))


def _live(channel: Channel[Any], start: StartPreview) -> ExitCode:
    os.nice(_NICE)
    # Where memory runs out, it goes first.
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    return PreviewWorker(channel, start).live()


def main() -> ExitCode:
    """Be the preview process of a daemon."""
    parser = child.argument_parser("inspectd.preview.worker", "The preview process.")
    return child.run(parser, ToPreview, StartPreview, _live)


if __name__ == "__main__":
    sys.exit(main())
