"""What a driver needs of a GenICam camera, whichever library reaches it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from inspectd.capture.driver import CameraError, Facts
from inspectd.wire import DeviceFacts


class FeatureError(CameraError):
    """The camera, or the library that reaches it, refused a call, in its own words."""


class Features(Protocol):
    """A camera's features by their names in the GenICam standard; every one is read from the camera itself.

    Each method may raise a `FeatureError`: there is no such feature now, or the camera refuses.
    """

    def has(self, feature: str) -> bool:
        """Whether the camera has a feature now."""

    def is_known(self, feature: str) -> bool:
        """Whether the camera's description names a feature, whether it has a value now or not."""

    def text(self, feature: str) -> str:
        """Value of a text or choice."""

    def set_text(self, feature: str, value: str) -> None:
        """Set a text or choice."""

    def choices(self, feature: str) -> list[str]:
        """Values that a choice may have now."""

    def whole(self, feature: str) -> int:
        """Value of a whole number, or the number of a choice."""

    def set_whole(self, feature: str, value: int) -> None:
        """Set a whole number."""

    def is_real(self, feature: str) -> bool:
        """Whether a feature is a number that may have a fraction."""

    def real(self, feature: str) -> float:
        """Value of a number."""

    def set_real(self, feature: str, value: float) -> None:
        """Set a number."""

    def unit(self, feature: str) -> str:
        """Unit that the camera gives for a number; empty where it gives none."""

    def flag(self, feature: str) -> bool:
        """Value of what is on or off."""

    def set_flag(self, feature: str, *, value: bool) -> None:
        """Switch on or off."""

    def execute(self, feature: str) -> None:
        """Have the camera do what a command stands for."""

    def exposure_us(self) -> float:
        """Exposure time, microseconds, whatever the camera calls that feature."""

    def set_exposure_us(self, value_us: float) -> None:
        """Set the exposure time, microseconds."""


class StreamedFrame(NamedTuple):
    """One buffer's content.

    Attributes:
        frame_id: the camera's number of it; 0 where it was lost, or is not given.
        device_ns: the camera's stamp; 0 where it gives none.
        arrival_ns: when it was taken from the stream, CLOCK_MONOTONIC.
        waited: nothing was there before it.
        problem: why it is not whole; empty if it is.
        remark: what a person should know of the way here, said once; empty: nothing.
        since_ns: moment before which it cannot have been taken, CLOCK_MONOTONIC; 0: the way here shows none.
        data: `(N,) uint8`, a copy of its bytes; empty if it is not whole.
        pixel_code: PFNC number of its pixels.
        width: pixels.
        height: rows.
        padding_bytes: at the end of each row.
        facts: what the camera says of it; None: it is not whole.
    """

    frame_id: int
    device_ns: int
    arrival_ns: int
    waited: bool
    problem: str = ""
    remark: str = ""
    since_ns: int = 0
    data: NDArray[np.uint8] = np.zeros(0, np.uint8)
    pixel_code: int = 0
    width: int = 0
    height: int = 0
    padding_bytes: int = 0
    facts: DeviceFacts | None = None


class ReachedCamera(Protocol):
    """A camera that this line alone controls: reached, set, made ready, started, let go."""

    why_silent: str
    """What to look at where it answers and sends nothing."""

    @property
    def features(self) -> Features:
        """Its features."""

    def make_ready(self, chunk_facts: Collection[str], beat: Callable[[], None]) -> str:
        """Make its stream, once it is set; what it sends is of one size from then on.

        Args:
            chunk_facts: names of `chunks.CHUNKS` that its frames carry.
            beat: called now and then while that takes long.

        Returns:
            What a person should know of the way here; empty: nothing.

        Raises:
            CameraError: there is no stream.
        """

    def start(self) -> None:
        """Have it send frames.

        Raises:
            CameraError: it does not.
        """

    def turn(self, now_ns: int) -> None:
        """See to it that it is still there and under this line's control; takes no time to speak of.

        Args:
            now_ns: CLOCK_MONOTONIC.

        Raises:
            CameraError: it is not.
        """

    def next_frame(self, timeout_ms: float) -> StreamedFrame | None:
        """The next frame, whole or not; None if none comes in time.

        Raises:
            CameraError: there will be none, or it is of a kind that has no picture.
        """

    def answers(self) -> bool:
        """Ask it now whether it is there."""

    def facts(self) -> Facts:
        """What it is, and what is known of the way to it, for a person; `camera` comes first."""

    def close(self, *, is_there: bool) -> None:
        """Stop it, give control back and let go of it.

        Args:
            is_there: False: it is known to be gone, and is not waited for.
        """


class Way(Protocol):
    """A library by which cameras are reached."""

    def reach(self, beat: Callable[[], None]) -> ReachedCamera:
        """Find the camera that the settings mean and take control of it.

        Raises:
            CameraError: it is not there, another program controls it, or the library is not.
        """
