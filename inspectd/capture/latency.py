"""Measures a camera's time from light to time stamp, with a light it sees.

`BrightnessReader` watches the camera while somebody switches the light; `estimate_latency` is pure: when the
light was switched and what the frames showed is handed in. Bounds, not guesses: the last frame without a
trace of a change was exposed before it, the first that shows all of it was exposed after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.capture.camera_settings import open_as_set
from inspectd.capture.driver import CameraDriver, CameraError, Frame, UnreadableImageError
from inspectd.capture.registry import make_driver
from inspectd.errors import ExitCode, InspectdError

_CELLS: Final = (32, 24)
"""Width and height of the grid a frame is averaged to: a lamp fills some cells, and the rest is left out."""
_LEAST_CONTRAST: Final = 10.0
_DARK_BELOW: Final = 12.0
_RESPONDS_ABOVE: Final = 0.5
_NONE_BELOW, _ALL_ABOVE = 0.1, 0.9
_EARLIER_FRAMES: Final = 4
_MOST_DOUBT: Final = 2.0
"""Frame intervals of doubt: a stamp that is known less well says nothing of the shortest latency."""
_MARGIN_OF_SPREAD: Final = 0.25
LEAST_FLASHES: Final = 10


class LatencyError(InspectdError):
    """The frames do not show when the light was switched; the message gives the cause and what to do."""

    kind_code = ExitCode.FAILED


class Flash(NamedTuple):
    """One change of the light, which happened between two moments, CLOCK_MONOTONIC."""

    before_ns: int
    after_ns: int
    on: bool


class Glance(NamedTuple):
    """Brightness of one frame.

    Attributes:
        captured_ns: the frame's time, as in `Frame`.
        doubt_ns: as in `Frame`.
        cells: `(768,) float32`, mean grey levels of a grid over the picture, 0 to 255.
    """

    captured_ns: int
    doubt_ns: int
    cells: NDArray[np.float32]


class LatencyEstimate(msgspec.Struct, frozen=True):
    """Measurements, and recommended settings. Times are from the light's change to the time stamp."""

    flashes: int
    seen: int
    contrast: float
    """Grey levels between light and dark, in the part of the picture that sees the light."""
    frame_interval_ms: float
    switching_ms: float
    """Longest time in which one change of the light happened, by what switched it."""
    doubt_ms: float
    """Longest doubt of a frame's time stamp."""
    longest_ms: float
    """No frame that was seen to change took longer; up to a frame interval above what it truly took."""
    shortest_ms: float
    """No frame that was seen to change took less, where the time of the one before it is known to two frame
    intervals; up to a frame interval below what it truly took."""
    spread_ms: float
    """Between the flashes with the largest and the smallest `longest_ms`; mostly the frame interval."""
    margin_ms: float
    """For what so many flashes did not show; it is in the two recommendations."""
    latency_ms: float
    latency_min_ms: float


def estimate_latency(
    flashes: Sequence[Flash], glances: Sequence[Glance], *, is_pulse: bool = False
) -> LatencyEstimate:
    """Bound the time from light to stamp.

    Args:
        flashes: when the light was switched, in order; between two of them lies more than the latency.
        glances: every frame from before the first flash to well after the last, in order.
        is_pulse: the light may go out by itself: only `on` is dated, and one frame may be all that shows it.

    Raises:
        LatencyError: too dark, no change, or too few changes seen.
    """
    if len(glances) < 2:
        raise LatencyError(f"{len(glances)} frames came in all; is the camera running?")
    interval_ns = float(np.median(np.diff([glance.captured_ns + glance.doubt_ns for glance in glances])))
    shares, contrast = _shares(flashes, glances, is_pulse=is_pulse)
    _refuse_long_latency(flashes, glances, shares, is_pulse=is_pulse)
    bounds = []
    for index, flash in enumerate(flashes):
        end_ns = flashes[index + 1].before_ns if index + 1 < len(flashes) else glances[-1].captured_ns + 1
        bound = _bound(flash, end_ns, glances, shares if flash.on else 1 - shares, is_pulse=is_pulse)
        if bound is not None:
            bounds.append((bound[0] + (interval_ns if is_pulse else 0), *bound[1:]))
    least = max(LEAST_FLASHES, len(flashes) // 2)
    if len(bounds) < least:
        raise LatencyError(
            f"the camera was seen to follow {len(bounds)} of {len(flashes)} changes of the light, expected "
            f"at least {least}; let the light fill the picture, shade it from other light, turn automatic "
            "exposure off, or hold each change longer (--hold-ms, more than the latency)"
        )
    uppers, lowers = (
        np.array([upper for upper, _, _ in bounds]) / 1e6,
        np.array([low for _, low, doubt_ns in bounds if doubt_ns <= _MOST_DOUBT * interval_ns]) / 1e6,
    )
    if not len(lowers):
        lowers = np.zeros(1)
    spread_ms = float(uppers.max() - uppers.min())
    margin_ms = _MARGIN_OF_SPREAD * spread_ms
    return LatencyEstimate(
        flashes=len(flashes),
        seen=len(bounds),
        contrast=round(contrast, 1),
        frame_interval_ms=round(interval_ns / 1e6, 1),
        switching_ms=round(max(flash.after_ns - flash.before_ns for flash in flashes) / 1e6, 1),
        doubt_ms=round(max(glance.doubt_ns for glance in glances) / 1e6, 1),
        longest_ms=round(float(uppers.max()), 1),
        shortest_ms=round(max(0.0, float(lowers.min())), 1),
        spread_ms=round(spread_ms, 1),
        margin_ms=round(margin_ms, 1),
        latency_ms=float(np.ceil(uppers.max() + margin_ms)),
        latency_min_ms=float(np.floor(max(0.0, float(lowers.min()) - margin_ms))),
    )


def _shares(
    flashes: Sequence[Flash], glances: Sequence[Glance], *, is_pulse: bool
) -> tuple[NDArray[np.float32], float]:
    """Share of the light in each frame, `(N,) float32`, 0 dark to 1 lit; grey levels between dark and lit."""
    cells = np.stack([glance.cells for glance in glances])
    dark, bright = _pulse_levels(flashes, glances, cells) if is_pulse else _levels(flashes, glances, cells)
    contrast = bright - dark
    if contrast.max() < _LEAST_CONTRAST:
        if bright.max() < _DARK_BELOW:
            raise LatencyError(
                f"the picture is dark with the light on (grey level {bright.max():.0f} of 255 where it is "
                "brightest); open the lens, expose longer, or bring the light nearer"
            )
        raise LatencyError(
            f"no change was seen: nowhere in the picture do light and dark differ by more than "
            f"{max(0.0, float(contrast.max())):.0f} of 255 grey levels, expected {_LEAST_CONTRAST:.0f}; does "
            "the camera see the light, and does the light change?"
        )
    responds = contrast >= _RESPONDS_ABOVE * contrast.max()
    low, high = dark[responds].mean(), bright[responds].mean()
    return (cells[:, responds].mean(axis=1) - low) / (high - low), float(high - low)


def _levels(
    flashes: Sequence[Flash], glances: Sequence[Glance], cells: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each cell's grey level in the dark and in the light: late in each hold, when the change is over."""
    late: dict[bool, list[NDArray[np.float32]]] = {True: [], False: []}
    ends = [*(flash.before_ns for flash in flashes[1:]), glances[-1].captured_ns]
    for flash, end_ns in zip(flashes, ends, strict=True):
        middle_ns = (flash.after_ns + end_ns) // 2
        late[flash.on] += [
            cells[index] for index, g in enumerate(glances) if middle_ns < g.captured_ns + g.doubt_ns < end_ns
        ]
    if not late[True] or not late[False]:
        raise LatencyError("no frame came between two changes of the light; hold each longer (--hold-ms)")
    return np.median(late[False], axis=0), np.median(late[True], axis=0)


def _pulse_levels(
    flashes: Sequence[Flash], glances: Sequence[Glance], cells: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each cell's grey level usually, and where it was brightest after most flashes."""
    ends = [*(flash.before_ns for flash in flashes[1:]), glances[-1].captured_ns + 1]
    brightest = [
        cells[within].max(axis=0)
        for flash, end_ns in zip(flashes, ends, strict=True)
        if (within := [i for i, g in enumerate(glances) if flash.before_ns <= g.captured_ns < end_ns])
    ]
    if not brightest:
        raise LatencyError("no frame came after a trigger; is the camera running?")
    return np.median(cells, axis=0), np.median(brightest, axis=0)


def _refuse_long_latency(
    flashes: Sequence[Flash], glances: Sequence[Glance], shares: NDArray[np.float32], *, is_pulse: bool
) -> None:
    """The first change comes after a long darkness: what is seen of it after the next one came too late.

    A pulse may also have fallen between two frames; nothing tells that from a long latency: neither is taken.

    Raises:
        LatencyError: so it is; later changes are then taken for one another.
    """
    first, next_ns = flashes[0], flashes[1].before_ns if len(flashes) > 1 else glances[-1].captured_ns
    seen_ns = next(
        (
            glance.captured_ns
            for glance, share in zip(glances, shares, strict=True)
            if glance.captured_ns + glance.doubt_ns >= first.before_ns and share >= _RESPONDS_ABOVE
        ),
        None,
    )
    if seen_ns is not None and seen_ns >= next_ns:
        seen = (
            f"the first change was seen {(seen_ns - first.before_ns) / 1e6:.0f} ms after it, when the light "
        )
        if is_pulse:
            raise LatencyError(
                f"{seen}had been triggered again: the latency is longer than the time between two triggers, "
                "or no frame showed the first flash; let triggers come further apart, or measure again"
            )
        raise LatencyError(f"{seen}had changed again; hold each change longer than that (--hold-ms)")


def _bound(
    flash: Flash,
    end_ns: int,
    glances: Sequence[Glance],
    shares: NDArray[np.float32],
    *,
    is_pulse: bool,
) -> tuple[int, int, int] | None:
    """What one flash allows, None: it was not seen.

    Returns:
        Longest and shortest time from the change to the stamp, and the doubt of what gives the latter.
    """
    within = [
        i
        for i, g in enumerate(glances)
        if flash.before_ns <= g.captured_ns + g.doubt_ns and g.captured_ns < end_ns
    ]
    enough = _RESPONDS_ABOVE if is_pulse else _ALL_ABOVE
    changed = next((i for i in within if shares[i] >= enough), None)
    if changed is None:
        return None
    unchanged = next((i for i in range(changed - 1, -1, -1) if shares[i] <= _NONE_BELOW), None)
    # The frames before show the light as it was, or this is still an earlier change.
    earlier = shares[max(0, within[0] - _EARLIER_FRAMES) : within[0]]
    if unchanged is None or (len(earlier) and np.median(earlier) > _NONE_BELOW):
        return None
    # It stays so until the next change; a frame that may be from after that says nothing of this one.
    surely = [i for i in within if i > changed and glances[i].captured_ns + glances[i].doubt_ns < end_ns]
    if not is_pulse and any(shares[i] < _RESPONDS_ABOVE for i in surely):
        return None
    first, last = glances[changed], glances[unchanged]
    longest_ns = first.captured_ns + first.doubt_ns - flash.before_ns
    return longest_ns, last.captured_ns - flash.after_ns, last.doubt_ns


class BrightnessReader:
    """Reads a camera in a thread of its own, and keeps of each frame when it came and how bright it was."""

    def __init__(self, camera: config.Camera) -> None:
        """Nothing is opened before the `with`."""
        self._driver: CameraDriver = make_driver(camera)
        self._camera = camera
        self._name = camera.name
        self._stall_seconds = camera.stall_timeout_ms / 1000
        self._glances: list[Glance] = []
        self._problem: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"camera {camera.name}", daemon=True)

    def __enter__(self) -> Self:
        """Open the camera.

        Raises:
            CameraError: it does not open.
            CameraSettingsError: it cannot be set as its settings say.
        """
        open_as_set(self._driver, self._camera)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self._stall_seconds)
        if not self._thread.is_alive():
            self._driver.close()

    def glances(self) -> list[Glance]:
        """Every frame so far, in order.

        Raises:
            CameraError: the camera gives none any more.
        """
        if self._problem is not None:
            raise self._problem
        return list(self._glances)

    def await_frames(self, count: int) -> None:
        """Wait until the camera has delivered so many.

        Raises:
            CameraError: it does not, within the time in which a camera counts as stalled.
        """
        end = time.monotonic() + self._stall_seconds
        while len(self.glances()) < count:
            if time.monotonic() > end:
                raise CameraError(
                    f"{self._name}: gave {len(self._glances)} frames within {self._stall_seconds:g} s, "
                    f"expected {count}; is it switched on and connected, and not used by another program?"
                )
            time.sleep(0.01)

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                frame = self._driver.read()
            except UnreadableImageError:
                continue
            except Exception as error:  # noqa: BLE001 - it is raised where the frames are asked for
                self._problem = error
                return
            if frame is None:
                self._problem = CameraError(f"{self._name}: ended; a replay has no latency to measure")
                return
            self._glances.append(Glance(frame.captured_ns, frame.doubt_ns, _cells(frame)))


def _cells(frame: Frame) -> NDArray[np.float32]:
    cells = cv2.resize(frame.pixels, _CELLS, interpolation=cv2.INTER_AREA)  # of a grey frame they are (h, w)
    grey = cells if cells.ndim == 2 else cv2.cvtColor(cells, cv2.COLOR_BGR2GRAY)
    return np.asarray(grey, np.float32).reshape(-1)
