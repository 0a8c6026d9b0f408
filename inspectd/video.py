"""Decodes video picture by picture, and marks each picture complete or not.

A decoder fills up an incomplete picture without an error: missing rows come from the previous picture, and so
from another part. The signs of it differ from codec to codec; all of them are checked here, and all video,
for a bank or for a verdict, is read through this module.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from inspectd.errors import InspectdError
from inspectd.pictures.jpeg_scans import why_not_whole
from inspectd.pictures.reading import MAX_PIXELS

_LOSS_LOGGERS: Final = frozenset({"rtsp", "rtp", "sdp", "mpegts"})
"""Demuxers that report a lost packet in a warning and nowhere else ("RTP: missed 3 packets")."""
_GAP: Final = "Frame num gap"
"""FFmpeg's H.264 decoder says so for debugging only, and predicts from what is left: a picture is missing."""

_LENGTH_PREFIXED: Final = b"\x01"  # how the parameters of H.264 and H.265 in MP4 begin
_PARAMETER_SETS: Final = {
    "h264": re.compile(rb"\0\0\x01[\x07\x27\x47\x67]"),
    "hevc": re.compile(rb"\0\0\x01[\x42\x43]"),
    "mpeg2video": re.compile(rb"\0\0\x01\xb3"),
    "mpeg4": re.compile(rb"\0\0\x01[\x20-\x2f]"),
}
"""Start codes of sequence parameter sets, sequence headers and video object layers."""

_SLICES: Final = {
    "h264": re.compile(rb"\0\0\x01[\x05\x25\x45\x65]"),
    "hevc": re.compile(rb"\0\0\x01[\x20-\x2b]"),
}
"""Start codes of the slices of a key frame (ITU-T H.264, table 7-1; H.265, table 7-1)."""
_ANY_SLICE: Final = {"hevc": re.compile(rb"\0\0\x01[\x00-\x2b]")}
"""Of every picture, for decoders that do not notice when one is missing."""
_SLICED_ALIKE: Final = 8
"""So many pictures in turn of one number of slices show that the encoder makes no other."""

Packet = Any  # generic in its stubs, and no class to subscript at run time


class VideoError(InspectdError):
    """The file is not a video."""


class Picture(NamedTuple):
    """One decoded picture.

    Attributes:
        pixels: `(H, W, 3) uint8 BGR`.
        seconds: its time on the stream's own clock; None if it carries none.
        whole: False when part of it, or of a picture it was predicted from, is missing or damaged.
        is_intra: True when it was coded independently of all other pictures.
        position: offset of its first byte in the stream; None if unknown.
    """

    pixels: NDArray[np.uint8]
    seconds: float | None
    whole: bool
    is_intra: bool
    position: int | None


class PictureDecoder:
    """Decodes the packets of one video stream.

    Each Motion JPEG picture is decoded independently, and a truncated one does not decode. In every other
    codec a picture is predicted from those before it: from the first sign of damage (a packet or picture
    marked corrupt, an error of the decoder, packets that a demuxer missed) until the next key frame
    without one, no picture is whole. Nor is any before the first key frame.

    After damage that key frame goes to a new decoder: FFmpeg's keep coefficients of a block they could not
    finish, and slices of a picture they could not complete, and show them in pictures of later groups. If
    parameter sets come within the stream, it has to carry its own, because a change may have been lost.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        """Decode `stream` in this thread, so that the decoder's warnings are seen here."""
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        self._parameters = self._decoder = stream.codec_context
        self._sets = _parameter_sets(self._parameters)
        self._carries_sets = False
        self._is_tainted = False
        self._is_new = False
        self.is_jpeg = stream.codec_context.name == "mjpeg"
        self._time_base: Fraction = stream.time_base or Fraction(1, 1000)
        self._sound_from: int | None = None
        self._is_sound = False
        self._shape: tuple[int, ...] | None = None
        self._slice = _SLICES.get(self._parameters.name) if self._sets is not None else None
        self._any_slice = _ANY_SLICE.get(self._parameters.name) if self._sets is not None else None
        self._slices = 0
        self._lately_sliced: deque[int] = deque(maxlen=_SLICED_ALIKE)
        self._since_key = self._key_every = 0
        # Kept for the life of the process: the level is the same for all streams.
        av.logging.set_level(av.logging.DEBUG if self._parameters.name == "h264" else av.logging.WARNING)
        av.logging.set_skip_repeated(False)
        logging.getLogger("libav").setLevel(logging.CRITICAL + 1)  # its messages are acted on, not logged

    def packets(self, container: Any, stream: av.VideoStream) -> Iterator[tuple[Packet, bool]]:
        """Each packet of the stream, and True if the demuxer lost something before it.

        Raises:
            av.error.FFmpegError: the source ends in an error, or does not respond in time.
        """
        demuxed = container.demux(stream)
        was_damaged = False
        while True:
            with av.logging.Capture() as said:
                packet = next(demuxed, None)
            if packet is None:
                return
            lost = (name in _LOSS_LOGGERS and level <= av.logging.WARNING for level, name, _ in said)
            damaged = packet.is_corrupt or any(lost)
            # FFmpeg's parsers may flag the packet before the one that lost something.
            yield packet, damaged or was_damaged
            was_damaged = damaged

    def decode(self, packet: Packet, *, damaged: bool) -> Iterator[Picture]:
        """The pictures that this packet completes; `damaged` as given by `packets`."""
        if self.is_jpeg and packet.size:
            yield from self._decode_jpeg(packet, damaged=damaged)
            return
        self._count(packet)
        has_sets = self._sets is not None and self._sets.search(bytes(packet)) is not None
        self._carries_sets = self._carries_sets or has_sets
        if damaged or self._lacks_slices(packet):
            self._is_tainted = True
            self._lose()
        elif packet.is_keyframe:
            self._begin_group(packet, has_sets=has_sets)
        with av.logging.Capture() as said:
            try:
                frames = self._decoder.decode(packet)
            except av.error.FFmpegError:
                frames = []
                self._fail()
        if any(level <= av.logging.ERROR or text.startswith(_GAP) for level, _, text in said):
            self._fail()
        for frame in frames:
            yield Picture(
                pixels=np.asarray(frame.to_ndarray(format="bgr24"), np.uint8),
                seconds=None if frame.pts is None else float(frame.pts * self._time_base),
                whole=self._is_whole(frame),
                is_intra=False,
                position=None,
            )

    def facts(self) -> dict[str, str | int | float]:
        """Codec, and of those that predict pictures the time between key frames and the slices of one."""
        found: dict[str, str | int | float] = {"codec": self._parameters.name}
        if self._key_every:
            found["key_frame_every_frames"] = self._key_every
        if self._slices:
            found["slices_of_a_key_frame"] = self._slices
        return found

    def _count(self, packet: Packet) -> None:
        if packet.is_keyframe:
            self._key_every, self._since_key = max(self._key_every, self._since_key), 0
            if self._slice is not None:
                self._slices = max(self._slices, len(self._slice.findall(bytes(packet))))
        self._since_key += packet.size > 0

    def _lacks_slices(self, packet: Packet) -> bool:
        """True for a picture of fewer slices than all before it, of a codec that does not notice."""
        if self._any_slice is None or not packet.size:
            return False
        slices, before = len(self._any_slice.findall(bytes(packet))), self._lately_sliced
        is_usual = len(before) < _SLICED_ALIKE or min(before) != max(before)
        lacks = not is_usual and slices < before[0]
        before.append(slices)
        return lacks

    def _decode_jpeg(self, packet: Packet, *, damaged: bool) -> Iterator[Picture]:
        pixels = decode_jpeg(bytes(packet))
        if pixels is not None:
            self._shape = pixels.shape
        elif self._shape is None:
            return
        yield Picture(
            pixels=np.zeros(self._shape, np.uint8) if pixels is None else pixels,
            seconds=None if packet.pts is None else float(packet.pts * self._time_base),
            whole=pixels is not None and not damaged,
            is_intra=True,
            position=packet.pos,
        )

    def _begin_group(self, packet: Packet, *, has_sets: bool) -> None:
        """A key frame came undamaged."""
        self._is_new = False
        if self._sound_from is None and (has_sets or not self._carries_sets):
            if self._is_tainted:
                self._decoder = _new_decoder(self._parameters)
                self._is_tainted, self._is_new = False, True
            self._sound_from = packet.pts

    def _fail(self) -> None:
        """The decoder reported an error or a corrupt picture; a new one merely lacks an earlier group."""
        self._is_tainted = self._is_tainted or not self._is_new
        self._lose()

    def _lose(self) -> None:
        self._sound_from, self._is_sound = None, False

    def _is_whole(self, frame: av.VideoFrame) -> bool:
        if frame.is_corrupt or frame.pts is None:
            self._fail()
        elif frame.key_frame and self._sound_from is not None and frame.pts >= self._sound_from:
            self._is_sound = True
        return self._is_sound


def _parameter_sets(parameters: Any) -> re.Pattern[bytes] | None:
    """Start code of a stream's parameter sets; None if they come separately, or not at all."""
    if (parameters.extradata or b"")[:1] == _LENGTH_PREFIXED:
        return None
    return _PARAMETER_SETS.get(parameters.name)


def _new_decoder(parameters: Any) -> Any:
    decoder = av.CodecContext.create(parameters.codec, "r")
    for name in ("extradata", "width", "height", "pix_fmt", "codec_tag", "bits_per_coded_sample"):
        value = getattr(parameters, name)
        if value:
            setattr(decoder, name, value)
    decoder.thread_type, decoder.thread_count = "NONE", 1
    return decoder


def open_video(path: Path) -> tuple[Any, Iterator[Picture]]:
    """A video file, to be closed by the caller, and its pictures in order.

    A truncated file ends with its last packet.

    Raises:
        VideoError: it is not a video.
    """
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be opened as a video ({ffmpeg_says(error)})") from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path}: holds no video")
    return container, _pictures_of(container)


def count_pictures(path: Path) -> tuple[int, int]:
    """Number of pictures by the video's header (0: it gives none), and the number there are.

    Raises:
        VideoError: it is not a video.
    """
    container, _ = open_video(path)
    with closing(container):
        stream = container.streams.video[0]
        return stream.frames, sum(1 for packet in _to_the_end(container.demux(stream)) if packet.size)


def _to_the_end(packets: Iterator[Any]) -> Iterator[Any]:
    """All packets of a file; a truncated one ends with its last complete packet."""
    try:
        yield from packets
    except av.error.FFmpegError:
        return


def _pictures_of(container: Any) -> Iterator[Picture]:
    stream = container.streams.video[0]
    decoder = PictureDecoder(stream)
    for packet, damaged in _to_the_end(decoder.packets(container, stream)):
        yield from decoder.decode(packet, damaged=damaged)


def ffmpeg_says(error: Exception) -> str:
    """The cause of an error, without the address, which may hold a password."""
    return str(getattr(error, "strerror", None) or type(error).__name__).lower()


def decode_jpeg(encoded: bytes) -> NDArray[np.uint8] | None:
    """A JPEG as `(H, W, 3) uint8 BGR`; None if it is damaged or truncated.

    Decoders fill up missing data with a warning at best; here every warning of libjpeg is a refusal.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(encoded, strict=True)
        if height * width > MAX_PIXELS:
            return None
        pixels = np.asarray(simplejpeg.decode_jpeg(encoded, colorspace="BGR", strict=True), np.uint8)
    except ValueError:
        return None
    return pixels if why_not_whole(encoded) is None else None
