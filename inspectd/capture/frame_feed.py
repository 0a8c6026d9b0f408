"""Frames of a camera for a command: read in a thread of its own, judged as the line judges them."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Final, NamedTuple, Self

from inspectd import config
from inspectd.capture.camera_settings import open_as_set
from inspectd.capture.driver import CameraDriver, CameraError, Facts, Frame, UnreadableImageError
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.capture.registry import make_driver
from inspectd.records import Quality

SIZE_CHANGED: Final = (
    "of another size than the one before: the line would start the camera anew (size_changed)"
)
_HELD_FRAMES: Final = 8
_TURN_SECONDS: Final = 0.2


class FedFrame(NamedTuple):
    """A frame, the line's judgement of it, when it was there (CLOCK_MONOTONIC), and how long it was read."""

    frame: Frame
    quality: Quality
    read_ns: int
    read_ms: float


class FrameFeed:
    """Reads a camera, so that neither a slow taker nor a driver that hangs holds up the other.

    What a live camera delivers while eight frames wait to be taken is left out and counted; a replay waits.

    Attributes:
        left_out: frames that did not come to the taker, by the reason.
        unreadable: pictures of a replayed folder that cannot be used, and why.
        has_ended: a replay has no more frames.
        stall_seconds: time without a frame after which the line would replace the camera's process.
    """

    def __init__(self, camera: config.Camera) -> None:
        """Nothing is opened before the `with`."""
        self.left_out: Counter[str] = Counter()
        self.unreadable: list[str] = []
        self.has_ended = False
        self.stall_seconds = camera.stall_timeout_ms / 1000
        self._camera = camera
        self._driver: CameraDriver = make_driver(camera)
        self._gate = FrameGate(camera.quality)
        self._shape: tuple[int, ...] = ()
        self._frames: queue.Queue[FedFrame] = queue.Queue(_HELD_FRAMES)
        self._problem: Exception | None = None
        self._facts: Facts = {}
        self._is_open = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"camera {camera.name}", daemon=True)

    def __enter__(self) -> Self:
        """Open the camera.

        Raises:
            CameraError: it does not open, or its driver hangs.
            CameraSettingsError: it cannot be set as its settings say.
        """
        self._thread.start()
        allowed_seconds = 2 * self._camera.stall_timeout_ms / 1000
        if not self._is_open.wait(allowed_seconds):
            raise CameraError(f"{self._camera.name}: did not open within {allowed_seconds:g} s")
        self._refuse()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self._camera.stall_timeout_ms / 1000)

    def take(self, timeout_seconds: float) -> FedFrame | None:
        """The next frame, or None if none comes within this time or ever will (`has_ended`).

        Raises:
            CameraError: the camera gives no more frames.
        """
        end = time.monotonic() + timeout_seconds
        while True:
            try:
                return self._frames.get(timeout=max(0.0, min(_TURN_SECONDS, end - time.monotonic())))
            except queue.Empty:
                self._refuse()
                if self.has_ended or time.monotonic() >= end:
                    return None

    def facts(self) -> Facts:
        """See `CameraDriver.facts`, as of the frame before."""
        return self._facts

    def _refuse(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _live(self) -> None:
        try:
            open_as_set(self._driver, self._camera)
            self._facts = self._driver.facts()
            self._is_open.set()
            while not self._stop.is_set() and not self.has_ended:
                self._turn()
            self._facts = self._driver.facts()
        except Exception as error:  # noqa: BLE001 - it is raised where the frames are asked for
            self._problem = error
        finally:
            self._driver.close()
            self._is_open.set()

    def _turn(self) -> None:
        if self._stop.wait(self._driver.due_seconds()) or not self._driver.poll():
            return
        began_ns = time.monotonic_ns()
        try:
            frame = self._driver.read()
        except UnreadableImageError as error:
            self.left_out["pictures that cannot be used (unreadable)"] += 1
            self.unreadable.append(str(error))
            return
        if frame is None:
            self.has_ended = True
            return
        read_ns = time.monotonic_ns()
        self.left_out["passed over, too old or of unknown time (backlog)"] += frame.passed_over
        self.left_out["lost on the way (lost_in_transfer)"] += frame.lost_before
        before, self._shape = self._shape, frame.pixels.shape
        if before and before != self._shape and not self._camera.may_vary_in_size:
            self.left_out[SIZE_CHANGED] += 1
            return
        quality = self._gate.judge(frame, frame_digest(frame.pixels).digest())
        fed = FedFrame(frame, quality, read_ns, (read_ns - began_ns) / 1e6)
        while not self._stop.is_set():
            try:
                self._frames.put(fed, timeout=0.0 if self._camera.is_live else _TURN_SECONDS)
            except queue.Full:
                if self._camera.is_live:
                    self.left_out["came while earlier ones were still worked on"] += 1
                    return
            else:
                return
