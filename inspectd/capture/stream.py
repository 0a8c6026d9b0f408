"""A live stream or a video file, read through FFmpeg."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import av

from inspectd import config, log
from inspectd.capture.driver import CameraDriver, CameraError, Facts, Frame, unadjusted_ahead_ns
from inspectd.capture.http_stream import HttpStream
from inspectd.capture.running_watch import RunningWatch
from inspectd.capture.schedule import ReplaySchedule
from inspectd.capture.stream_clock import StreamClock
from inspectd.errors import InputError
from inspectd.files import is_file
from inspectd.records import Quality
from inspectd.video import Picture, PictureDecoder, VideoError, ffmpeg_says, open_video

_OPEN_SHARE: Final = 0.8
_READ_SHARE: Final = 0.4
"""Of the stall timeout. FFmpeg was seen to take twice the read timeout it was given."""
_SHORTEST_TIMEOUT_SECONDS: Final = 0.1
_FALLBACK_FPS: Final = 25.0
_PASSING_OVER_NS: Final = 200_000_000
"""Longest that one `read` passes over frames; then it gives one, however bad, so that the loop goes on."""
_BEGINNING_NS: Final = 1_500_000_000
"""The same at the beginning of a connection, until the stream's clock is settled."""
_WAITED_NS: Final = 4_000_000
_KEY_FRAME_STALLS: Final = 6
"""Stall timeouts for which a stream may bring what no picture can be decoded from: one that is joined between
two key frames begins with the next one, and cameras that save bandwidth have them 10 to 20 s apart."""
_UNKNOWN_AGE_NS: Final = 10_000_000_000
_PLAYLISTS: Final = frozenset({"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl"})
_JPEG_FORMATS: Final = {
    "multipart/x-mixed-replace": "mpjpeg",
    "image/jpeg": "mjpeg",
    "video/x-motion-jpeg": "mjpeg",
}
_NO_TIMESTAMPS: Final = 0x0080  # AVFMT_NOTIMESTAMPS
_UNDATED_FORMATS: Final = frozenset({"mpjpeg", "mjpeg", "jpeg_pipe", "image2pipe"})

logger = logging.getLogger("inspectd.capture")


class FileDriver(CameraDriver):
    """Replays a video file at a rate; its frames are as old as the moment they are read."""

    def __init__(self, settings: config.OpenCvCamera, clock: Callable[[], float] = time.monotonic) -> None:
        """Read `settings.source` on a schedule by `clock` (seconds)."""
        self._settings = settings
        self._path = Path(str(settings.source))
        self._name = config.masked(settings.source)
        self._clock = clock
        self._container: Any = None
        self._pictures: Iterator[Picture] = iter(())
        self._schedule: ReplaySchedule | None = None
        self._frames_in_pass = 0

    def open(self, beat: Callable[[], None]) -> None:
        """Open the file.

        Raises:
            CameraError: it is not there, or no video.
        """
        beat()
        try:
            is_there = is_file(self._path)
        except InputError as error:
            raise CameraError(str(error)) from error
        if not is_there:
            raise CameraError(f"{self._name}: is not a file; correct `source`, or mount the share it lies on")
        self._rewind()
        rate = self._container.streams.video[0].average_rate
        fps = self._settings.fps or (float(rate) if rate else 0.0)
        self._schedule = ReplaySchedule(fps if 0 < fps < 10_000 else _FALLBACK_FPS, self._clock)

    def due_seconds(self) -> float:
        """See `CameraDriver.due_seconds`."""
        return self._schedule.due_seconds() if self._schedule else 0.0

    def read(self) -> Frame | None:
        """The next frame; None at the end of a file that is not looped.

        Raises:
            CameraError: the file has no frame that can be read.
        """
        # Before it is read: a recording shows what was there then or later, however long reading takes.
        captured_ns, captured_utc_ns = time.monotonic_ns(), time.time_ns()
        picture = next(self._pictures, None)
        if picture is None:
            if self._frames_in_pass and not self._settings.loop:
                return None
            empty = not self._frames_in_pass
            self._rewind()
            picture = None if empty else next(self._pictures, None)
        if picture is None:
            raise CameraError(f"{self._name}: holds no frame that can be read")
        self._frames_in_pass += 1
        if self._schedule:
            self._schedule.taken()
        return Frame(
            picture.pixels,
            captured_ns,
            captured_utc_ns,
            source=f"{self._path.name}#{self._frames_in_pass}",
            flaw=Quality.OK if picture.whole else Quality.PARTIAL,
        )

    def facts(self) -> Facts:
        """Container and codec."""
        if self._container is None:
            return {}
        video = self._container.streams.video[0].codec_context
        return {"container": self._container.format.name, "codec": video.name}

    def close(self) -> None:
        """Close the file."""
        self._pictures = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def _rewind(self) -> None:
        # Opening anew works for every container; seeking to frame 0 does not.
        self.close()
        self._frames_in_pass = 0
        try:
            self._container, self._pictures = open_video(self._path)
        except VideoError as error:
            raise CameraError(str(error)) from error


class StreamDriver(CameraDriver):
    """Reads a live stream as it comes, and dates its frames.

    By the stream's own timestamps where it has some (`StreamClock`), and where it has none, which is motion
    JPEG over HTTP, by when its bytes came in (`ArrivalLog`). A frame without a known time is stale,
    whatever its picture shows.
    """

    def __init__(self, settings: config.OpenCvCamera) -> None:
        """Read `settings.source`."""
        self._settings = settings
        self._url = str(settings.source)
        self._name = config.masked(settings.source)
        self._stall_ns = int(settings.stall_timeout_ms * 1e6)
        self._watch: RunningWatch | None = None
        self._http: HttpStream | None = None
        self._container: Any = None
        self._packets: Iterator[tuple[Any, bool]] = iter(())
        self._decoder: PictureDecoder | None = None
        self._frames: deque[Frame] = deque()
        self._clock = StreamClock()
        self._is_dated = True
        self._has_begun = False
        self._pictured_ns = 0
        self._passed_over = 0
        self._has_warned = False
        self._last_timestamp_ms: float | None = None

    def open(self, beat: Callable[[], None]) -> None:
        """Connect.

        Raises:
            CameraError: it does not answer, or its stream cannot be dated.
        """
        beat()
        self.close()
        try:
            self._watch = RunningWatch()
        except OSError as error:
            raise CameraError(
                f"{self._name}: this kernel does not report how long a process waited for a processor "
                f"({error}), so a stream's frames cannot be dated"
            ) from error
        self._clock = StreamClock()
        self._has_begun = self._has_warned = False
        self._frames.clear()
        try:
            self._container = self._connected()
            video = self._container.streams.video
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise CameraError(f"{self._name}: {_why_not_opened(error)}") from error
        if not video:
            raise CameraError(f"{self._name}: carries no video")
        kind = self._container.format
        is_jpeg = kind.name in _UNDATED_FORMATS
        self._is_dated = not is_jpeg and not kind.flags & _NO_TIMESTAMPS
        if not self._is_dated and (self._http is None or not is_jpeg):
            raise CameraError(
                f"{self._name}: its format ({kind.name}) does not date its pictures, so no part can be "
                "judged from them; expected RTSP, MPEG-TS, or Motion JPEG over HTTP"
            )
        self._decoder = PictureDecoder(video[0])
        self._packets = self._decoder.packets(self._container, video[0])
        self._pictured_ns = time.monotonic_ns()

    def poll(self) -> bool:
        """Read on until a picture is complete; False: none was for a moment, as before the first key frame.

        Raises:
            CameraError: the stream gives no more frames.
        """
        give_up_ns = time.monotonic_ns() + _PASSING_OVER_NS
        while not self._frames and time.monotonic_ns() < give_up_ns:
            if self._decoder is None or self._decoder.is_jpeg:
                return True
            self._receive(may_pass_over=True)
        return bool(self._frames)

    def read(self) -> Frame | None:
        """The next frame; `passed_over` counts those before it that waited too long to be of use.

        Raises:
            CameraError: the stream gives no more frames.
        """
        passing_ns = _PASSING_OVER_NS if self._has_begun else min(_BEGINNING_NS, self._stall_ns // 3)
        give_one_ns = time.monotonic_ns() + passing_ns
        while True:
            may_pass_over = time.monotonic_ns() < give_one_ns
            if not self._frames:
                self._receive(may_pass_over=may_pass_over)
                if not self._frames and not may_pass_over and self._decoder and self._decoder.is_jpeg:
                    raise CameraError(f"{self._name}: delivers no picture that can be decoded")
                continue
            frame = self._frames.popleft()
            self._has_begun = self._has_begun or frame.flaw is Quality.OK
            if self._has_begun or not may_pass_over:
                passed_over, self._passed_over = self._passed_over, 0
                return replace(frame, passed_over=passed_over)
            # What a connection begins with waited for it, or was predicted from what came before it.
            self._passed_over += 1

    def facts(self) -> Facts:
        """Container and codec, how the encoder cuts its pictures, and whether they are dated."""
        if self._container is None or self._decoder is None:
            return {}
        return {
            "container": self._container.format.name,
            **self._decoder.facts(),
            "frames_dated_by": "the stream's own clock" if self._is_dated else "when their bytes came",
        }

    def close(self) -> None:
        """End the connection."""
        self._packets, self._decoder = iter(()), None
        self._frames.clear()
        if self._container is not None:
            self._container.close()
            self._container = None
        if self._http is not None:
            self._http.close()
            self._http = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _connected(self) -> Any:
        stall_seconds = self._stall_ns / 1e9
        open_seconds = max(
            _SHORTEST_TIMEOUT_SECONDS, min(self._settings.open_timeout_ms / 1000, _OPEN_SHARE * stall_seconds)
        )
        read_seconds = max(_SHORTEST_TIMEOUT_SECONDS, _READ_SHARE * stall_seconds)
        if self._url.partition("://")[0].lower() not in {"http", "https"}:
            # RTP over UDP loses packets, and it cannot always be seen which pictures that spoils. How many
            # pictures come in a second is of no use here, and FFmpeg would wait for twenty to know it.
            options = {"rtsp_transport": "tcp", "fflags": "nobuffer", "fpsprobesize": "0"}
            return av.open(self._url, options=options, timeout=(open_seconds, read_seconds))
        self._http = HttpStream(
            self._url, self._name, open_seconds=open_seconds, read_seconds=read_seconds,
            most_seconds=max(open_seconds, _OPEN_SHARE * stall_seconds),
        )  # fmt: skip
        if self._http.content_type in _PLAYLISTS:
            raise CameraError(
                f"{self._name}: is a playlist; its pictures are seconds old, name the stream itself"
            )
        return av.open(
            self._http,
            format=_JPEG_FORMATS.get(self._http.content_type),
            options={"analyzeduration": "500000"},
        )

    def _receive(self, *, may_pass_over: bool) -> None:
        """Take one packet, and decode the frames that are complete with it."""
        assert self._decoder is not None
        assert self._watch is not None
        self._watch.begin()
        try:
            taken = next(self._packets, None)
        except (av.error.FFmpegError, OSError) as error:
            raise CameraError(
                f"{self._name}: delivers no frame ({ffmpeg_says(error)}); is it switched on?"
            ) from error
        if taken is None:
            raise CameraError(f"{self._name}: has ended; is it switched on and connected?")
        packet, damaged = taken
        if self._http is not None:
            self._http.picture_ended()
        read_ns, waited = time.monotonic_ns(), self._watch.waited_ns() >= _WAITED_NS
        span_ns = self._span_ns(packet.pos, packet.size, read_ns)
        limit_ns = int(self._settings.quality.max_age_ms * 1e6)
        if may_pass_over and 0 < limit_ns < read_ns - span_ns[0]:
            self._passed_over += 1
            return
        for picture in self._decoder.decode(packet, damaged=damaged):
            if not self._is_dated:
                if span_ns[0] > 0:
                    frame = _frame(picture, span_ns, age_ms=(read_ns - span_ns[0]) / 1e6)
                else:
                    frame = _frame(picture, (read_ns, read_ns), age_ms=None)
                self._frames.append(frame)
                continue
            timestamp_ms = None if picture.seconds is None else picture.seconds * 1000
            self._warn_of_repeats(timestamp_ms)
            age_ms = self._clock.age_ms((read_ns + unadjusted_ahead_ns()) / 1e6, timestamp_ms, waited=waited)
            frame = _frame(picture, (read_ns, read_ns), age_ms=age_ms)
            self._frames.append(replace(frame, remark=self._clock.take_remark()))
        if self._frames:
            self._pictured_ns = read_ns
        elif self._decoder.is_jpeg:
            self._passed_over += 1
        elif read_ns - self._pictured_ns > (longest_ns := _KEY_FRAME_STALLS * self._stall_ns):
            raise CameraError(
                f"{self._name}: sends, but for {longest_ns / 1e9:g} s nothing that can be decoded; "
                "set a key frame (I frame) every 1 to 2 s in the camera"
            )

    def _warn_of_repeats(self, timestamp_ms: float | None) -> None:
        """Warn, once a connection, of two pictures for one moment; neither is judged.

        FFmpeg does that at every key frame of an H.264 stream that repeats its parameter sets between the
        slices of a picture: the first of the two is torn.
        """
        if not self._has_warned and timestamp_ms is not None and timestamp_ms == self._last_timestamp_ms:
            self._has_warned = True
            advice = "set the camera's encoder to one slice a picture"
            log.event(logger, logging.WARNING, "repeated_timestamp", source=self._name, advice=advice)
        self._last_timestamp_ms = timestamp_ms

    def _span_ns(self, position: int | None, size: int, read_ns: int) -> tuple[int, int]:
        """Span in which the sending of an undated packet began, from 0 on where nobody knows; else now."""
        if self._is_dated or self._http is None:
            return read_ns, read_ns
        if position is None or position < 0:
            return 0, read_ns
        return self._http.arrivals.picture(position, size)


def _why_not_opened(error: Exception) -> str:
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "refuses the user name or password; correct `source`"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "answers, but has no stream under that path; correct `source`"
    return f"cannot be opened ({ffmpeg_says(error)}); is it there and reachable?"


def _frame(picture: Picture, span_ns: tuple[int, int], *, age_ms: float | None) -> Frame:
    """A picture that arrived within `span_ns`, and may be `age_ms` old by the stream's own clock, or less."""
    now_ns, utc_ns = time.monotonic_ns(), time.time_ns()
    earliest_ns, latest_ns = span_ns
    flaw = Quality.OK if picture.whole else Quality.PARTIAL
    if age_ms is None:
        earliest_ns, age_ms, flaw = latest_ns - _UNKNOWN_AGE_NS, _UNKNOWN_AGE_NS / 1e6, Quality.STALE
    elif earliest_ns == latest_ns:
        earliest_ns = latest_ns - int(age_ms * 1e6)
    return Frame(
        picture.pixels,
        earliest_ns,
        utc_ns - (now_ns - earliest_ns),
        age_ms,
        doubt_ns=latest_ns - earliest_ns,
        may_repeat=not picture.is_intra,
        flaw=flaw,
    )
