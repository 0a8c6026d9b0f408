"""A GenICam camera: one that GigE Vision reaches, a vendor's GenTL producer, or Basler's pylon."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.capture.driver import (
    CameraDriver,
    CameraError,
    CameraSettingsError,
    Facts,
    Frame,
    unadjusted_ahead_ns,
    unadjusted_ns,
)
from inspectd.capture.genicam.asked_time import AskedTime
from inspectd.capture.genicam.camera import FeatureError, ReachedCamera, StreamedFrame, Way
from inspectd.capture.genicam.chunks import set_chunks
from inspectd.capture.genicam.device_clock import DeviceClock, FrameSpan
from inspectd.capture.genicam.features import apply_settings, ask_time_ns, set_up
from inspectd.capture.genicam.frame_ids import FrameIds, FrameOrder
from inspectd.capture.genicam.pixel_formats import PixelFormat, format_of, to_picture
from inspectd.records import UNSET, CameraSettings, Quality

_POLL_MS: Final = 20.0
_LATE_NS: Final = 20_000_000
"""A frame that takes so much longer than `latency_ms` is late."""
_LATE_FREE_NS: Final = 500_000_000
"""Or so much, where no trigger takes it."""


class GenicamDriver(CameraDriver):
    """Reads one camera, which it alone controls, and says of every frame what is known of it.

    Args:
        settings: of the camera.
        way: by which it is reached.
    """

    def __init__(self, settings: config.GenicamCamera, way: Way) -> None:
        self._settings = settings
        self._way = way
        self._open: ReachedCamera | None = None
        self._is_there = True
        self._ids = FrameIds()
        self._order = FrameOrder()
        self._clock = DeviceClock()
        self._asked = self._ask_anew()
        self._format: PixelFormat | None = None
        self._shape: tuple[int, ...] = ()
        self._held: StreamedFrame | None = None
        self._frame_by_ns = 0
        self._earliest_ns = 0
        self._remark = ""
        self._has_just_come = False

    def open(self, beat: Callable[[], None]) -> None:
        """Find the camera, take control, set it and start it.

        Raises:
            CameraError: it is not there, another program controls it, or it cannot be set as it should be.
        """
        self.close()
        beat()
        try:
            self._start(beat)
        except CameraError as error:
            self.close()
            raise CameraError(f"{self._settings.device}: {error}") from error

    def _start(self, beat: Callable[[], None]) -> None:
        camera = self._way.reach(beat)
        with ExitStack() as undo:
            undo.callback(camera.close, is_there=True)
            beat()
            self._format = set_up(camera.features, self._settings)
            chunks = set_chunks(camera.features, self._settings)
            way_remark = camera.make_ready(chunks.facts, beat)
            height, width = camera.features.whole("Height"), camera.features.whole("Width")
            self._shape = (height, width, self._format.picture_channels)
            self._remark = "; ".join(filter(None, (way_remark, chunks.remark)))
            undo.pop_all()
        self._open, self._is_there = camera, True
        self._ids, self._clock, self._asked = FrameIds(), DeviceClock(), self._ask_anew()
        self._order.reopened()
        self._earliest_ns = time.monotonic_ns()
        self._await_frame(self._earliest_ns)
        camera.start()
        while self._asked.is_due(unadjusted_ns()):
            beat()
            self._ask_time(camera)
        beat()

    def _ask_anew(self) -> AskedTime:
        """Nothing is known of its time yet."""
        latency_ns = self._settings.latency_span_ns[1]
        is_gated = self._settings.mode == "triggered"
        asked = AskedTime(latency_ns + _LATE_NS if is_gated else max(latency_ns, _LATE_FREE_NS))
        if not self._settings.ask_time:
            asked.give_up("")
        return asked

    def _ask_time(self, camera: ReachedCamera) -> None:
        """Ask the camera for its time where that is due."""
        if not self._asked.is_due(unadjusted_ns()):
            return
        try:
            answer = ask_time_ns(camera.features)
        except FeatureError as error:
            self._asked.refused(str(error), unadjusted_ns())
            return
        if answer is None and self._asked.is_known:
            self._asked.refused("it has no such features any more", unadjusted_ns())
        elif answer is None:
            self._asked.give_up("")
        else:
            self._asked.answered(*answer)

    def apply(self, settings: CameraSettings) -> None:
        """Set exposure time and gain; see `apply_settings`.

        Raises:
            CameraSettingsError: it is closed, or cannot be set so.
        """
        if self._open is None:
            raise CameraSettingsError("it is not open")
        # Asked beforehand: a camera that is gone may be waited for at length, and its return would be missed.
        if settings != UNSET and not self._open.answers():
            self._is_there = False
            raise CameraSettingsError("it does not answer")
        before_us = _exposure_us(self._open)
        try:
            apply_settings(self._open.features, settings)
        finally:  # it may have taken the exposure time, and refused what comes after it
            now_us = _exposure_us(self._open)
            if before_us is not None and now_us is not None and before_us != now_us:
                self._clock.expect_other_delays(int((now_us - before_us) * 1000))

    def shape_ahead(self) -> tuple[int, ...] | None:
        """Shape of its frames, where a signal at one of its inputs starts them."""
        is_waiting = self._open is not None and self._settings.trigger_source is not None
        return self._shape if is_waiting else None

    def poll(self) -> bool:
        """Wait 20 ms at most for a frame; True once there is one.

        Raises:
            CameraError: the camera is gone, or under another's control, or runs free and gives no frame.
        """
        if self._held is not None:
            return True
        opened = self._opened()
        now_ns = time.monotonic_ns()
        if not self._is_there:
            raise CameraError(f"{self._settings.device}: does not answer; is it switched on and connected?")
        try:
            self._is_there = False
            opened.turn(now_ns)
            self._is_there = True
            if self._has_just_come:
                # A camera that is gone would be waited for at length: it is asked when it has shown itself.
                self._has_just_come = False
                self._ask_time(opened)
            self._held = opened.next_frame(_POLL_MS)
            if self._held is not None and self._is_to_be_asked_for(self._held):
                self._ask_time(opened)
        except CameraError as error:
            # One that sends what is refused is stopped: else it goes on, and cannot be set when it is opened.
            self._is_there = self._is_there and opened.answers()
            raise CameraError(f"{self._settings.device}: {error}") from error
        if self._held is None and self._settings.trigger_source is None and now_ns > self._frame_by_ns:
            raise CameraError(
                f"{self._settings.device}: answers, but delivered no frame for "
                f"{self._settings.stall_timeout_ms / 1000:g} s; {opened.why_silent}"
            )
        return self._held is not None

    def _is_to_be_asked_for(self, raw: StreamedFrame) -> bool:
        """After a pause nothing shows any more that a frame is new."""
        return not raw.problem and self._asked.is_needed(raw.device_ns, unadjusted_ns())

    def read(self) -> Frame | None:
        """The next frame; one that is not whole is black, and `partial`.

        Raises:
            CameraError: see `poll`.
        """
        while not self.poll():
            pass
        raw, self._held = self._held, None
        if raw is None:  # poll() has just said otherwise
            raise CameraError(f"{self._settings.device}: gave no frame")
        self._await_frame(raw.arrival_ns)
        self._has_just_come = True
        if raw.problem:
            # It never passes, and its number and stamp may be those of what the buffer held before.
            lost = self._ids.lost_before(0)
            span, is_dated = self._damaged_span(raw), False
        else:
            old = self._order.problem(raw.frame_id, raw.device_ns)
            if old:
                raise CameraError(f"{self._settings.device}: {old}")
            lost = self._ids.lost_before(raw.frame_id)
            span, is_dated = self._span(raw)
        remarks = [self._remark, raw.remark, self._ids.take_remark()]
        self._remark = ""
        if raw.problem:
            remarks.append(
                f"frame {raw.frame_id} is not whole: {raw.problem} (docs/cameras.md, lost packets)"
            )
        return Frame(
            np.zeros(self._shape, np.uint8) if raw.problem else self._picture(raw),
            span.captured_ns,
            time.time_ns() - (time.monotonic_ns() - span.captured_ns),
            (raw.arrival_ns - span.captured_ns) / 1e6,
            doubt_ns=span.doubt_ns,
            never_repeats=True,
            flaw=Quality.PARTIAL if raw.problem else Quality.OK if is_dated else Quality.STALE,
            lost_before=lost,
            remark="; ".join(filter(None, (self._clock.take_remark(), self._asked.take_remark()))),
            transfer_remark="; ".join(filter(None, remarks)),
            bit_depth=self._format.bit_depth if self._format is not None else 8,
            device=raw.facts,
        )

    def _span(self, raw: StreamedFrame) -> tuple[FrameSpan, bool]:
        """When it was stamped, and whether that is known; else from the frame before to its arrival."""
        ahead_ns = unadjusted_ahead_ns()
        arrival_ns = raw.arrival_ns + ahead_ns
        latest_ns = self._asked.latest_ns(raw.device_ns, arrival_ns)
        is_bounded = latest_ns is not None and self._asked.is_sharp(raw.device_ns)
        placed = self._clock.place(raw.device_ns, arrival_ns, waited=raw.waited, is_bounded=is_bounded)
        since_ns, until_ns = max(self._earliest_ns, raw.since_ns) + ahead_ns, arrival_ns
        if latest_ns is not None and is_bounded:  # it may have lain here: its own clock shows for how long
            since_ns, until_ns = max(since_ns, self._asked.earliest_ns(raw.device_ns)), latest_ns
            placed = placed and self._asked.narrowed(placed, raw.device_ns, latest_ns)
        first_ns, doubt_ns = placed or FrameSpan(since_ns, max(0, until_ns - since_ns))
        first_ns -= ahead_ns
        # A camera sends frames in the order it took them, and none from before it was started.
        captured_ns = max(first_ns, self._earliest_ns)
        if latest_ns is not None:  # unless it held one back, which its own clock shows
            captured_ns = min(captured_ns, latest_ns - ahead_ns + self._settings.latency_span_ns[1])
        self._earliest_ns = captured_ns
        doubt_ns = max(0, first_ns + doubt_ns - captured_ns)
        is_dated = placed is not None or is_bounded or raw.since_ns > 0
        return FrameSpan(captured_ns, doubt_ns), is_dated

    def _damaged_span(self, raw: StreamedFrame) -> FrameSpan:
        """When a frame that is not whole was stamped; the ones after it are dated as if it had not come."""
        ahead_ns = unadjusted_ahead_ns()
        placed = self._clock.glance(raw.device_ns, raw.arrival_ns + ahead_ns)
        placed = placed and FrameSpan(placed.captured_ns - ahead_ns, placed.doubt_ns)
        if placed is None or placed.captured_ns + placed.doubt_ns < self._earliest_ns:
            # Its stamp is that of an older one: it came after the frame before, which is all that is known.
            return FrameSpan(self._earliest_ns, max(0, raw.arrival_ns - self._earliest_ns))
        captured_ns = max(placed.captured_ns, self._earliest_ns)
        return FrameSpan(captured_ns, placed.captured_ns + placed.doubt_ns - captured_ns)

    def facts(self) -> Facts:
        """What it is, its pixel formats, and what is known of the way to it."""
        if self._open is None:
            return {}
        features = self._open.features
        said = dict(self._open.facts())
        return {
            "camera": said.pop("camera"),
            "pixel_format": features.text("PixelFormat"),
            "pixel_formats": " ".join(features.choices("PixelFormat")),
            "says_its_time": "yes" if self._asked.is_known else "no",
            **said,
        }

    def close(self) -> None:
        """Stop the camera and give control back."""
        opened, self._open, self._held = self._open, None, None
        if opened is not None:
            opened.close(is_there=self._is_there)

    def _opened(self) -> ReachedCamera:
        if self._open is None:
            raise CameraError(f"{self._settings.device}: is not open")
        return self._open

    def _await_frame(self, now_ns: int) -> None:
        self._frame_by_ns = now_ns + int(self._settings.stall_timeout_ms * 1e6)

    def _picture(self, raw: StreamedFrame) -> NDArray[np.uint8]:
        try:
            if self._format is None or raw.pixel_code != self._format.code:
                self._format = format_of("another format than it said", raw.pixel_code)
            picture = to_picture(raw.data, self._format, raw.height, raw.width, raw.padding_bytes)
        except CameraError as error:
            raise CameraError(f"{self._settings.device}: {error}") from error
        self._shape = picture.shape
        return picture


def _exposure_us(camera: ReachedCamera) -> float | None:
    """Its exposure time, microseconds; None: it has none, or cannot say it, which `apply_settings` tells."""
    try:
        return camera.features.exposure_us()
    except CameraError:
        return None
