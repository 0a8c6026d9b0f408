"""The camera over the synthetic line: its parts as frames on a schedule, with faults on command."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.capture.driver import CameraDriver, CameraError, Facts, Frame
from inspectd.capture.schedule import ReplaySchedule
from inspectd.capture.simulated_exposure import SimulatedExposure
from inspectd.capture.synthetic.faults import FaultPlan, spoilt
from inspectd.capture.synthetic.parts import SyntheticLine
from inspectd.config import SyntheticFault
from inspectd.records import CameraSettings

_BUFFERS: Final = 4
"""Pictures that a driver gone wrong hands out in turn."""
_ARRIVES_LATER: Final = ("stall", "lost")


class SyntheticDriver(CameraDriver):
    """Shows one part after the other. While nothing comes of the camera, the line goes on without it."""

    def __init__(
        self,
        settings: config.SyntheticCamera,
        clock: Callable[[], float] = time.monotonic,
        hang: Callable[[float], None] = time.sleep,
    ) -> None:
        """Show what `settings` say, on a schedule by `clock`; `hang` is how it hangs. Both are in seconds."""
        self._settings = settings
        self._clock = clock
        self._hang = hang
        self._plan = FaultPlan(settings)
        self._line: SyntheticLine | None = None
        self._number = 1
        """Of the next frame."""
        self._until: float | None = None
        """When the fault of the next frame is over, where it takes time; None: that has not begun."""
        self._lost = 0
        self._exposure = SimulatedExposure(settings)
        self._schedule = ReplaySchedule(settings.fps, clock)
        self._kept: deque[NDArray[np.uint8]] = deque(maxlen=_BUFFERS)

    def open(self, beat: Callable[[], None]) -> None:
        """Set up the line; one that was interrupted has gone on meanwhile.

        Raises:
            CameraError: the camera is unplugged, on command.
        """
        self._look()
        self._refuse_while_unplugged()
        if self._line is None:
            self._line = SyntheticLine(self._settings)
            beat()
        self._schedule = ReplaySchedule(self._settings.fps, self._clock)

    def apply(self, settings: CameraSettings) -> None:
        """Show the pictures as a camera with these settings would have taken them.

        Raises:
            CameraSettingsError: the exposure is to be longer than the time between two frames.
        """
        self._exposure.apply(settings)

    def due_seconds(self) -> float:
        """See `CameraDriver.due_seconds`; also takes up what is commanded."""
        self._look()
        while (fault := self._plan.at(self._number)) is not None and fault.kind in _ARRIVES_LATER:
            left_seconds = self._left_seconds(fault)
            if left_seconds > 0:
                return left_seconds
            self._pass(fault)
        return self._schedule.due_seconds()

    def read(self) -> Frame | None:
        """The next frame, or None after as many as the settings say.

        Raises:
            CameraError: the camera is unplugged, on command.
        """
        self._refuse_while_unplugged()
        while (fault := self._plan.at(self._number)) is not None and fault.kind in {"hang", *_ARRIVES_LATER}:
            if fault.kind == "hang":
                self._hang(self._left_seconds(fault))
            self._pass(fault)
            self._refuse_while_unplugged()
        last = self._settings.frames
        if last is not None and self._number > last:
            return None
        frame = self._take()
        if fault is None or not self._kept:
            self._kept.append(frame.pixels)
        self._number += 1
        self._schedule.taken()
        return frame if fault is None else spoilt(frame, fault.kind, self._kept)

    def facts(self) -> Facts:
        """Which parts it computes."""
        return {"seed": self._settings.seed}

    def close(self) -> None:
        """Nothing is held open."""

    def _take(self) -> Frame:
        if self._line is None:
            raise CameraError("the synthetic camera is not open")
        # Before it is computed: the time is that at which the frame was due.
        captured_ns, captured_utc_ns = time.monotonic_ns(), time.time_ns()
        shown = self._line.show(self._number)
        lost, self._lost = self._lost, 0
        return Frame(
            pixels=self._exposure.of(shown.pixels, captured_ns),
            captured_ns=captured_ns,
            captured_utc_ns=captured_utc_ns,
            label=shown.label,
            source=shown.source,
            lost_before=lost,
            never_repeats=True,
        )

    def _look(self) -> None:
        if self._plan.look(self._number):
            self._until = None

    def _refuse_while_unplugged(self) -> None:
        while (fault := self._plan.at(self._number)) is not None and fault.kind == "unplug":
            if self._left_seconds(fault) > 0:
                raise CameraError(
                    f"the synthetic camera is unplugged until frame {fault.end_frame}, on command"
                )
            self._pass(fault)

    def _left_seconds(self, fault: SyntheticFault) -> float:
        """Time until a fault during which nothing comes is over; it begins with the first question."""
        if self._until is None:
            self._until = self._clock() + (fault.end_frame - self._number) / self._settings.fps
        return max(0.0, self._until - self._clock())

    def _pass(self, fault: SyntheticFault) -> None:
        """Such a fault is over: the frames of that time are gone."""
        if fault.kind == "lost":
            self._lost += fault.end_frame - self._number
        self._number, self._until = fault.end_frame, None
        self._schedule = ReplaySchedule(self._settings.fps, self._clock)
