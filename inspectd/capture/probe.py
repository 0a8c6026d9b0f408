"""Measures what a camera delivers, as the line would get it."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import Final

import msgspec

from inspectd import config
from inspectd.capture.driver import Facts
from inspectd.capture.frame_feed import FrameFeed
from inspectd.records import Quality

_WAIT_SECONDS: Final = 0.5
_NAMED: Final = 3
"""Pictures that cannot be used, of those that are left out."""


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came in the time that the camera was read. Times are of this machine."""

    opened_ms: float
    """From the first attempt until it was ready to be read, set as its settings say."""
    seconds: float
    frames: int
    has_ended: bool
    """A replay had no more frames."""
    qualities: dict[str, int]
    """Frames by the line's judgement of them; `ok` are those that it would inspect."""
    left_out: dict[str, int]
    """Frames that did not come so far, by the reason."""
    sizes: list[str]
    """Such as `1920x1080`; more than one where frames differ."""
    bit_depth: int | None
    """None: no frame came, as with the next ones."""
    frames_per_second: float | None
    interval_ms: float | None
    """Between two frames as they were read: median."""
    shortest_interval_ms: float | None
    longest_interval_ms: float | None
    are_dated: bool | None
    """Whether the time of most frames is known; the frames of a stream are not until its clock is settled."""
    doubt_ms: float | None
    """Median of the time by which a frame may be younger than it is taken for, of those that are dated."""
    age_ms: float | None
    """Median age when a frame was there, counted from the earliest it can have been."""
    longest_age_ms: float | None
    cpu_ms: float | None
    """Processor time for each frame, for receiving, decoding and judging it."""
    remarks: list[str]
    """What the driver noticed about the camera's clock and the way here, or about pictures of a folder."""
    facts: Facts
    """What the camera says of itself."""


class _Glimpse(msgspec.Struct, frozen=True):
    """What is kept of a frame: the pictures of all would not fit into memory."""

    read_ns: int
    age_ns: int
    doubt_ns: int
    quality: Quality
    bit_depth: int


def probe(camera: config.Camera, seconds: float) -> ProbeResult:
    """Open a camera as the line would, and read it for some seconds.

    Raises:
        CameraError: it does not open, or stops delivering.
        CameraSettingsError: it cannot be set as its settings say.
    """
    came: list[_Glimpse] = []
    sizes: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    began = time.monotonic()
    with FrameFeed(camera) as feed:
        opened, cpu_ns = time.monotonic(), time.process_time_ns()
        while (left := opened + seconds - time.monotonic()) > 0 and not feed.has_ended:
            fed = feed.take(min(left, _WAIT_SECONDS))
            if fed is None:
                continue
            frame = fed.frame
            height, width, *_ = frame.pixels.shape
            sizes[f"{width}x{height}"] += 1
            remarks.update(filter(None, (frame.remark, frame.transfer_remark)))
            came.append(
                _Glimpse(
                    fed.read_ns, fed.read_ns - frame.captured_ns, frame.doubt_ns, fed.quality, frame.bit_depth
                )
            )
        cpu_ns, took_seconds = time.process_time_ns() - cpu_ns, time.monotonic() - opened
    gaps = [(after.read_ns - before.read_ns) / 1e6 for before, after in pairwise(came)]
    dated = [glimpse for glimpse in came if glimpse.quality is not Quality.STALE]
    ages = [glimpse.age_ns / 1e6 for glimpse in dated]
    return ProbeResult(
        opened_ms=round((opened - began) * 1000, 1),
        seconds=round(took_seconds, 3),
        frames=len(came),
        has_ended=feed.has_ended,
        qualities=dict(Counter(str(glimpse.quality) for glimpse in came)),
        left_out={reason: count for reason, count in feed.left_out.items() if count},
        sizes=list(sizes),
        bit_depth=came[-1].bit_depth if came else None,
        frames_per_second=round(1000 * len(gaps) / sum(gaps), 3) if sum(gaps) else None,
        interval_ms=_rounded(median(gaps)) if gaps else None,
        shortest_interval_ms=_rounded(min(gaps, default=None)),
        longest_interval_ms=_rounded(max(gaps, default=None)),
        are_dated=2 * len(dated) > len(came) if came else None,
        doubt_ms=_rounded(median(glimpse.doubt_ns / 1e6 for glimpse in dated)) if dated else None,
        age_ms=_rounded(median(ages)) if ages else None,
        longest_age_ms=_rounded(max(ages, default=None)),
        cpu_ms=_rounded(cpu_ns / 1e6 / len(came)) if came else None,
        remarks=[*feed.unreadable[:_NAMED], *remarks],
        facts=feed.facts(),
    )


def _rounded(value_ms: float | None) -> float | None:
    return None if value_ms is None else round(value_ms, 2)
