"""A device, a live stream or a video file, read through OpenCV."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd import config, log
from inspectd.capture.driver import CameraError, Frame
from inspectd.capture.schedule import ReplaySchedule
from inspectd.capture.stream_clock import StreamClock

_OPEN_SHARE: Final = 0.8
_READ_SHARE: Final = 0.4
"""Of the stall timeout. FFmpeg was seen to take twice the read timeout it was given."""
_MIN_TIMEOUT_MS: Final = 100
_FALLBACK_FPS: Final = 25.0
_UNDATED_SCHEMES: Final = frozenset({"http", "https"})
"""Motion JPEG over HTTP carries no timestamps; FFmpeg makes some up from an assumed rate."""

logger = logging.getLogger("inspectd.capture")


class OpenCvDriver:
    """Reads what OpenCV reads: live sources as they come, files at a rate."""

    def __init__(self, settings: config.OpenCvCamera, clock: Callable[[], float] = time.monotonic) -> None:
        """Read `settings.source`; files are replayed on a schedule by `clock` (seconds)."""
        self._settings = settings
        self._clock = clock
        self._capture: cv2.VideoCapture | None = None
        self._is_file = isinstance(settings.source, str) and "://" not in settings.source
        scheme = str(settings.source).partition("://")[0].lower()
        self._is_dated = not self._is_file and scheme not in _UNDATED_SCHEMES
        self._name = masked(settings.source)
        self._stream_clock = StreamClock()
        self._schedule: ReplaySchedule | None = None
        self._frames_in_pass = 0
        self._read_ns = 0
        self._last_timestamp_ms = 0.0
        self._warned = False

    def open(self, beat: Callable[[], None]) -> None:
        """Open the device, stream or file.

        Raises:
            CameraError: it does not open.
        """
        beat()
        self.close()
        if self._is_file and not Path(str(self._settings.source)).is_file():
            raise CameraError(f"{self._name}: is no file; correct `source`, or mount the share it lies on")
        self._capture = self._opened()
        self._stream_clock = StreamClock()
        self._warned = False
        self._frames_in_pass = 0
        self._read_ns = 0
        if self._is_file:
            fps = self._settings.fps or self._capture.get(cv2.CAP_PROP_FPS)
            self._schedule = ReplaySchedule(fps if 0 < fps < 10_000 else _FALLBACK_FPS, self._clock)

    def due_seconds(self) -> float:
        """How long until a file's next frame is due; 0 for live sources."""
        return self._schedule.due_seconds() if self._schedule else 0.0

    def read(self) -> Frame | None:
        """The next frame; None at the end of a file that is not looped.

        Raises:
            CameraError: the source gives no more frames.
        """
        frame = self._grab()
        if frame is None and self._is_file and self._frames_in_pass:
            if not self._settings.loop:
                return None
            self._rewind()
            frame = self._grab()
        if frame is None:
            raise CameraError(f"{self._name}: gives no frame; is it switched on and connected?")
        self._frames_in_pass += 1
        if self._schedule:
            self._schedule.taken()
        return frame

    def slot_bytes(self, first: Frame) -> int:
        """Bytes of its frames, which are all of one size."""
        return first.pixels.nbytes

    def close(self) -> None:
        """Release the device or the connection."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _opened(self) -> cv2.VideoCapture:
        source = self._settings.source
        if isinstance(source, int) or self._is_file:
            capture = cv2.VideoCapture(source)
        else:
            capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, self._timeouts())
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"{self._name}: does not open; is it there, reachable, and not in use?")
        if isinstance(source, int):
            self._ask_device(capture)
        return capture

    def _timeouts(self) -> list[int]:
        stall_ms = self._settings.stall_timeout_ms
        open_ms = max(_MIN_TIMEOUT_MS, min(self._settings.open_timeout_ms, int(_OPEN_SHARE * stall_ms)))
        read_ms = max(_MIN_TIMEOUT_MS, int(_READ_SHARE * stall_ms))
        return [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms]

    def _ask_device(self, capture: cv2.VideoCapture) -> None:
        wishes = (
            (cv2.CAP_PROP_FRAME_WIDTH, self._settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height),
            (cv2.CAP_PROP_FPS, self._settings.fps),
        )
        for prop, value in wishes:
            if value is not None:
                capture.set(prop, value)

    def _grab(self) -> Frame | None:
        """The next frame of the source, dated when it came in less its age, before it is decoded to BGR."""
        self._refuse_backlog()
        if self._capture is None or not self._capture.grab():
            return None
        self._read_ns = captured_ns = time.monotonic_ns()
        captured_utc_ns = time.time_ns()
        age_ms = 0.0
        if self._is_dated:
            timestamp_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            age_ms = self._stream_clock.age_ms(captured_ns / 1e6, timestamp_ms)
            self._watch_repeats(timestamp_ms)
        taken, pixels = self._capture.retrieve()
        if not taken:
            return None
        age_ns = int(age_ms * 1e6)
        return Frame(_as_bgr(pixels, self._name), captured_ns - age_ns, captured_utc_ns - age_ns, age_ms)

    def _refuse_backlog(self) -> None:
        """A live source left unread has a backlog; where frames carry no time, nothing tells it apart."""
        limit_ms = self._settings.quality.max_age_ms
        away_ms = (time.monotonic_ns() - self._read_ns) / 1e6
        if not self._is_file and self._read_ns and 0 < limit_ms < away_ms:
            raise CameraError(
                f"{self._name}: was not read for {away_ms:.0f} ms; connecting anew, past its backlog"
            )

    def _watch_repeats(self, timestamp_ms: float) -> None:
        """Warn, once a connection, of two pictures for one moment.

        OpenCV was seen to do that at every key frame of an H.264 stream that repeats its parameter sets
        between the slices of a picture; the first of the two is torn, and nothing in it says so.
        """
        if not self._warned and 0 < timestamp_ms == self._last_timestamp_ms:
            self._warned = True
            advice = "set the camera's encoder to one slice a picture"
            log.event(logger, logging.WARNING, "repeated_timestamp", source=self._name, advice=advice)
        self._last_timestamp_ms = timestamp_ms

    def _rewind(self) -> None:
        # Opening anew works for every container; seeking to frame 0 does not.
        self.close()
        self._capture = self._opened()
        self._frames_in_pass = 0


def masked(source: int | str) -> str:
    """The source as it may be shown in a log: without the user name and password of a URL."""
    if isinstance(source, int):
        return f"device {source}"
    if "://" not in source:
        return source
    scheme, _, rest = source.partition("://")
    address, slash, path = rest.partition("/")
    return f"{scheme}://{address.rpartition('@')[2]}{slash}{path}"


def _as_bgr(pixels: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8:
        raise CameraError(f"{name}: gives {pixels.dtype} pixels, expected 8 bits a channel")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] != 3:
        raise CameraError(f"{name}: gives {pixels.shape[2]} channels, expected 3 (BGR) or 1 (grey)")
    return np.asarray(pixels, np.uint8)
