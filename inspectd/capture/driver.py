"""Interface of every kind of camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InspectdError, UnavailableError
from inspectd.records import UNSET, CameraSettings, Quality
from inspectd.wire import DeviceFacts

_READINGS: Final = 3

Facts = Mapping[str, str | int | float]
"""What an open camera says of itself, by names with units, such as `packet_bytes`."""


class CameraError(UnavailableError):
    """The camera does not open, or gives no more frames; opening it again may help."""


class CameraSettingsError(InspectdError):
    """The camera cannot be set, or says that it has other settings than it was set to; it still delivers."""


class UnreadableImageError(InspectdError):
    """One replayed image cannot be decoded; the next read goes on with the one after it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, with the time it was taken.

    Attributes:
        pixels: `(H, W, 3) uint8 BGR`, or `(H, W, 1)` of a camera that sees grey only.
        captured_ns: the earliest moment it can have reached the driver, CLOCK_MONOTONIC: when it was
            obtained, less `age_ms`.
        captured_utc_ns: the same moment, since the Unix epoch.
        age_ms: how long a live stream may have held the frame back; 0 where nothing can.
        label: ground truth of a replayed image, for evaluation only.
        source: the replayed image's path inside its folder, or the recording's frame.
        never_repeats: True where every row has the noise of a sensor, uncompressed: neither a picture nor a
            row of it ever comes again.
        doubt_ns: how much later than `captured_ns` it may have been; 0 where nothing held the frame up.
        may_repeat: True where an encoder may give exactly the same picture of a still scene again.
        flaw: what the driver itself found wrong with it: not received whole, or of an unknown time.
        remark: what the driver noticed about the source's clock since the frame before, for a person.
        transfer_remark: what it noticed about the way here, such as packets that are missing.
        passed_over: frames between the one before and this one that waited too long to be decoded.
        lost_before: frames between the one before and this one that the camera sent and nobody received.
        bit_depth: bits a channel that the sensor delivered; `pixels` hold the upper 8 of them.
        device: what the camera itself says of it; None: it says nothing.
        as_given: as the camera gave it, before it was turned and straightened; None: `pixels` are.
    """

    pixels: NDArray[np.uint8]
    captured_ns: int
    captured_utc_ns: int
    age_ms: float = 0.0
    label: str | None = None
    source: str | None = None
    doubt_ns: int = 0
    may_repeat: bool = False
    flaw: Quality = Quality.OK
    passed_over: int = 0
    lost_before: int = 0
    remark: str = ""
    transfer_remark: str = ""
    bit_depth: int = 8
    never_repeats: bool = False
    device: DeviceFacts | None = None
    as_given: NDArray[np.uint8] | None = None

    @property
    def raw(self) -> NDArray[np.uint8]:
        """`(H, W, C) uint8`, as the camera gave it: where a torn frame is seen to be torn."""
        return self.pixels if self.as_given is None else self.as_given


def unadjusted_ns() -> int:
    """The machine's unadjusted clock (CLOCK_MONOTONIC_RAW).

    Whoever lays a camera's clock against the machine's does so by this one: time synchronisation slows and
    quickens CLOCK_MONOTONIC for minutes, which looks like frames that come later and later.
    """
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def unadjusted_ahead_ns(
    adjusted: Callable[[], int] = time.monotonic_ns, unadjusted: Callable[[], int] = unadjusted_ns
) -> int:
    """How much the unadjusted clock shows more than CLOCK_MONOTONIC.

    They are read one after the other, and this process may be held up between: of a few readings the closest.
    """
    found = []
    for _ in range(_READINGS):
        before_ns, raw_ns, after_ns = adjusted(), unadjusted(), adjusted()
        found.append((after_ns - before_ns, raw_ns - (before_ns + after_ns) // 2))
    return min(found)[1]


class CameraDriver(Protocol):
    """One kind of camera: opened, read frame by frame, closed, and opened again after a fault.

    A kind whose frames come by themselves, whose `read` blocks, and that has one frame size and nothing to
    set says no more than `open`, `read`, `facts` and `close`; the others have a body here.
    """

    def open(self, beat: Callable[[], None]) -> None:
        """Make the camera ready to read; calls `beat` now and then while that takes long.

        Raises:
            CameraError: it does not open; the message names what was tried and what to do.
        """

    def shape_ahead(self) -> tuple[int, ...] | None:
        """Shape of every frame to come, `(H, W, C)`, of an open camera that waits for triggers; else None.

        Such a camera is up before its first frame: else the line would refuse the first part's trigger.
        """
        return None

    def apply(self, settings: CameraSettings) -> None:
        """Set the camera, and have it say what it has now; what is None is left alone.

        Call it once it is open. Frames that show the new settings follow within the camera's `settle_ms`.

        Raises:
            CameraSettingsError: it cannot be set, or says something else than what it was set to.
        """
        if settings != UNSET:
            raise CameraSettingsError(f"nothing can be set of this kind of camera, got {settings}")

    def due_seconds(self) -> float:
        """Time until `read` has something to give; 0 for a camera that blocks in `read`.

        A driver that knows when its next frame is due gives that time and does not block, so that the
        process's heartbeat goes on.
        """
        return 0.0

    def poll(self) -> bool:
        """True once `read` is to be called: it has a frame, or waits for one that is bound to come.

        A camera that waits for triggers may have none for hours. It waits here for a moment, so that the
        process's heartbeat and its stop go on.

        Raises:
            CameraError: there will be no frame; close the camera and open it again.
        """
        return True

    def read(self) -> Frame | None:
        """The next frame, or None when a file or folder has been replayed to its end.

        Raises:
            CameraError: there is no frame; close the camera and open it again.
            UnreadableImageError: this one image is damaged; read on.
        """

    def slot_bytes(self, first: Frame) -> int:
        """Bytes of the largest frame this camera will give, known after it gave its `first`."""
        return first.pixels.nbytes

    def facts(self) -> Facts:
        """What is known of the open camera and the way to it, for a person; nothing where it is closed."""

    def close(self) -> None:
        """Let go of the device; it may be opened again."""
