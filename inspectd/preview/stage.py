"""Previews, the main process's side: of what one is made, and the frames their process may still read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Protocol

import msgspec

from inspectd import wire
from inspectd.config import Config
from inspectd.ipc.messages import Alive
from inspectd.ipc.ring import FrameRing
from inspectd.ipc.ring_client import RingClient
from inspectd.ipc.slot_holds import SlotHolds, share_of
from inspectd.preview.messages import FromPreview, MakePreview, PreviewMade, PreviewNotMade, StartPreview
from inspectd.preview.pace import PreviewPace
from inspectd.records import FrameRef, Outcome, PreviewResult, Score
from inspectd.wire import Evaluation, PreviewHeader, PreviewHeat, Rectangle, Verdict

_HOLD_NS: Final = 250_000_000
"""Longest that a preview may keep a slot from its camera; as evidence."""

_MAX_UNFINISHED: Final = 16


class PreviewOutlet(Protocol):
    """The line whose frames are shown."""

    def rings(self) -> list[tuple[str, FrameRing]]:
        """Every ring a frame may lie in, with its camera."""

    def preview_topics(self) -> Collection[bytes]:
        """Beginnings of topics that readers of previews subscribe to now."""

    def publish_preview(self, header: PreviewHeader, jpeg: bytes, heat: bytes) -> bool:
        """Send a preview to whoever looks; False: it went nowhere."""

    def on_preview(self, result: PreviewResult) -> None:
        """A preview was wanted, with this result."""


class _Asked(msgspec.Struct, frozen=True):
    """A preview that is being made."""

    frame: FrameRef
    verdict: Verdict
    score: Score | None
    """Whose heatmap was sent; None: none was."""
    since_ns: int


class PreviewStage(RingClient):
    """A job for the supervisor: has previews made while somebody subscribes, and never waits for them.

    The process is there from the start: to launch one holds up this one for as long as a busy machine likes,
    and no reader may be the cause of that.

    A slot is held for one for 250 ms at most, for each camera at most a quarter of its slots, and only while
    more than a quarter of them are free; beyond that the preview is skipped and counted.

    Args:
        config: the line's.
        line: where they are wanted, and where they go.
        release: gives a slot back to its camera.
    """

    name = "preview"
    module = "inspectd.preview.worker"
    arguments: Sequence[str] = ()
    receives: Any = FromPreview
    start_timeout_ns = 30_000_000_000
    stall_timeout_ns = 10_000_000_000

    def __init__(
        self,
        config: Config,
        line: PreviewOutlet,
        release: Callable[[FrameRef], None],
    ) -> None:
        settings = config.preview
        super().__init__(StartPreview(settings.width_px, settings.jpeg_quality), line.rings)
        self.holds = SlotHolds(release)
        self._line = line
        self._pace = PreviewPace(settings.fps)
        self._slots = {camera.name: camera.slots for camera in config.cameras}
        # Of a line without previews no camera has a topic, so nothing that is subscribed to begins one.
        names = self._slots if settings.enabled else ()
        plant, line_name = config.line.plant, config.line.name
        self._topics = {name: wire.topic(plant, line_name, name, wire.Kind.PREVIEW) for name in names}
        self._subscribed: Collection[bytes] = ()
        self._shown: frozenset[str] = frozenset()
        """Cameras that somebody looks at."""
        self._is_up = False
        self._last_id = 0
        self._unfinished: dict[int, _Asked] = {}

    def use_slots(self, camera: str, slots: int) -> None:
        """A camera's next ring has so many slots."""
        self._slots[camera] = slots

    def offer(
        self, frame: FrameRef, verdict: Verdict, outcome: Outcome, free_slots: int, now_ns: int
    ) -> None:
        """Have a preview made if somebody looks and it costs nobody anything; its slot is not released yet.

        Args:
            frame: that was judged.
            verdict: on it.
            outcome: that the verdict was made from.
            free_slots: of its camera.
            now_ns: the time.
        """
        passed = verdict.evaluation is Evaluation.PASS
        if verdict.camera not in self._shown or not self._pace.allows(frame.place, now_ns, passed=passed):
            return
        score = outcome.score if outcome.threshold is not None else None
        result = self._refusal(frame, free_slots)
        if result is None:
            result = self._send(frame, score, outcome.threshold or 0.0)
        if result is not None:
            self._line.on_preview(result)
            return
        self._unfinished[self._last_id] = _Asked(frame, verdict, score, now_ns)
        self._pace.made(frame.place, now_ns)
        self.holds.hold(frame, now_ns)

    def relieve(self, camera: str, free_slots: int) -> None:
        """Give slots back to a camera that has few left: its frames come first."""
        if self._unfinished and free_slots <= share_of(self._slots[camera]):
            for frame in self.holds.frames_of(camera):
                self.holds.end(frame)

    def tick(self, now_ns: int) -> None:
        """See who looks at what, and give up on what takes long."""
        subscribed = self._line.preview_topics()
        if subscribed != self._subscribed:
            self._subscribed = subscribed
            self._shown = frozenset(
                camera for camera, topic in self._topics.items() if topic.startswith(tuple(subscribed))
            )
        for preview_id, asked in list(self._unfinished.items()):
            if now_ns - asked.since_ns > _HOLD_NS:
                self._finish(preview_id, PreviewResult.TIMEOUT)

    def received(self, record: Any, fds: list[int], now_ns: int) -> None:  # noqa: ARG002 - it sends none
        """See `Job.received`."""
        self._is_up = True
        if isinstance(record, PreviewMade):
            if (asked := self._unfinished.get(record.preview_id)) is not None:
                header = _header(asked, record)
                is_sent = self._line.publish_preview(header, record.jpeg, record.heat)
                self._finish(
                    record.preview_id, PreviewResult.PUBLISHED if is_sent else PreviewResult.NOT_TAKEN
                )
        elif isinstance(record, PreviewNotMade):
            self._finish(record.preview_id, record.result)
        elif not isinstance(record, Alive):
            raise TypeError(f"not a record of a preview process: {record!r}")

    def lost(self, cause: str, exit_code: int | None, now_ns: int) -> None:
        """See `Job.lost`; what it had not made is counted as `down`."""
        super().lost(cause, exit_code, now_ns)
        self._is_up = False
        for preview_id in list(self._unfinished):
            self._finish(preview_id, PreviewResult.DOWN)

    def _refusal(self, frame: FrameRef, free_slots: int) -> PreviewResult | None:
        """Reason for making none, found before anything is sent; None if there is none."""
        if self._channel is None or not self._is_up:
            return PreviewResult.DOWN
        share = share_of(self._slots[frame.camera])
        is_full = self.holds.count_of(frame.camera) >= share and not self.holds.holds_slot_of(frame)
        is_full = is_full or len(self._unfinished) >= _MAX_UNFINISHED
        is_under_way = any(asked.frame.place == frame.place for asked in self._unfinished.values())
        return PreviewResult.BUSY if is_full or is_under_way or free_slots <= share else None

    def _send(self, frame: FrameRef, score: Score | None, threshold: float) -> PreviewResult | None:
        self._last_id += 1
        request = MakePreview(
            self._last_id, frame, b"" if score is None else score.heatmap, 0.0 if score is None else threshold
        )
        return None if self._post(request, may_be_skipped=True) else PreviewResult.BUSY

    def _finish(self, preview_id: int, result: PreviewResult) -> None:
        asked = self._unfinished.pop(preview_id, None)
        if asked is not None:
            self.holds.end(asked.frame)
            self._line.on_preview(result)


def _header(asked: _Asked, made: PreviewMade) -> PreviewHeader:
    verdict = asked.verdict
    return PreviewHeader(
        epoch=verdict.epoch,
        seq=verdict.seq,
        camera=verdict.camera,
        region=verdict.region,
        captured_utc_ns=asked.frame.captured_utc_ns,
        width=made.width,
        height=made.height,
        evaluation=verdict.evaluation,
        reason=verdict.reason,
        score=verdict.score,
        threshold=verdict.threshold,
        heat=None if asked.score is None else _heat(asked.frame, asked.score, made),
        jpeg_bytes=len(made.jpeg),
        rectangle=verdict.rectangle,
    )


def _heat(frame: FrameRef, score: Score, made: PreviewMade) -> PreviewHeat:
    place, rectangle = score.heatmap_rectangle, None
    if place is not None:
        left, top = (0, 0) if frame.region is None else (frame.region.left, frame.region.top)
        height, width = frame.looked_at_size
        first_column, columns = _scaled(place.left - left, place.width, made.width, width)
        first_row, rows = _scaled(place.top - top, place.height, made.height, height)
        rectangle = Rectangle(first_column, first_row, columns, rows)
    return PreviewHeat(score.heatmap_height, score.heatmap_width, rectangle)


def _scaled(first: int, count: int, made: int, of: int) -> tuple[int, int]:
    """First pixel and number of a stretch of `of` pixels once they were made `made`; at least one."""
    begin = min(round(first * made / of), made - 1)
    return begin, max(1, round((first + count) * made / of) - begin)
