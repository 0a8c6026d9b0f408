"""The capture process: one camera's frames into its ring, and a record of each to the main process.

One thread does everything, so that a driver that hangs stops the heartbeat too and the supervisor sees it.
"""

from __future__ import annotations

import argparse
import logging
import math
import random
import sys
import time
from pathlib import Path
from typing import Final

from inspectd import log
from inspectd.capture.backoff import Backoff
from inspectd.capture.camera_files import CameraFiles, FilesChangedError
from inspectd.capture.camera_settings import CameraSetter
from inspectd.capture.driver import CameraDriver, CameraError, Frame, UnreadableImageError
from inspectd.capture.inspect_camera import show
from inspectd.capture.messages import ApplySettings, FilesFound, StartCapture, Stop, ToCapture
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.capture.registry import make_driver
from inspectd.errors import ExitCode, InspectdError
from inspectd.ipc import child
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import RingReady
from inspectd.ipc.ring import FrameRing
from inspectd.records import (
    CameraNotice,
    CameraPhase,
    CameraSettings,
    CameraSettingsReport,
    CameraState,
    Drop,
    DropCause,
    FrameRef,
    Quality,
)
from inspectd.text import printable

STAGE: Final = "capture"
_SLOT_POLL_SECONDS: Final = 0.002
_LATE_MS: Final = 100.0
_NOTICE_EVERY_NS: Final = 10_000_000_000
_MOST_WORDS: Final = 2000
_TURN_SECONDS: Final = child.HEARTBEAT_SECONDS / 2

logger = logging.getLogger("inspectd.capture")


class FrameSizeError(InspectdError):
    """The camera's frames no longer fit its ring; a new generation makes one that fits."""


class CaptureWorker:
    """The life of one camera, from opening it to the stop: see `run`."""

    def __init__(
        self,
        start: StartCapture,
        files: CameraFiles,
        channel: Channel[ToCapture],
        stop: child.StopFlag,
        rng: random.Random,
    ) -> None:
        """Capture as `start` and `files` set out; `rng` gives the jitter of reconnects."""
        driver: CameraDriver = make_driver(start.camera, lambda: files.geometry)
        self._camera = start.camera
        self._generation = start.generation
        self._driver = driver
        self._files = files
        self._channel = channel
        self._stop = stop
        self._heart = child.Heart(channel)
        self._gate = FrameGate(start.camera.quality)
        self._backoff = Backoff(start.camera.reconnect_min_ms, start.camera.reconnect_max_ms, rng)
        self._setter = CameraSetter(driver, start.settings, start.camera.settle_ns, self._say_settings)
        self._files_sha256 = start.files_sha256
        self._has_files = False
        self._ring: FrameRing | None = None
        self._shape: tuple[int, ...] = ()
        self._seq = 0
        self._state = CameraState(self._camera.name, CameraPhase.DOWN)
        self._quiet_until_ns: dict[str, int] = {}
        self._last_captured_ns = 0

    def run(self) -> ExitCode:
        """Open, stream, and open again after a fault, until the stop.

        Raises:
            ChannelClosedError: the main process is gone.
            FrameSizeError: the camera changed its frame size.
        """
        self._say(CameraPhase.OPENING)
        while not self._stop.is_set:
            try:
                self._take_files()
                self._stream()
            except CameraError as error:
                self._say(CameraPhase.DOWN, str(error))
                self._pause(self._backoff.next_seconds())
            finally:
                self._driver.close()
        return ExitCode.OK

    def _take_files(self) -> None:
        """Read the files that pictures are made by, once; the driver then opens with its calibration.

        What cannot be used is not what the line took up: it may be put right without a reload.
        """
        if self._has_files:
            return
        found = self._files.read(self._heart.beat)
        is_other = self._files_sha256 not in {None, found}
        if not is_other:
            self._files.make(self._heart.beat)
            self._has_files = True
        if found is not None:
            self._channel.send_wait(FilesFound(found))
        if is_other:
            raise FilesChangedError

    def _stream(self) -> None:
        self._driver.open(self._heart.beat)
        self._setter.reopened()
        shape = self._driver.shape_ahead()
        if shape is not None and self._ring is None:
            self._make_ring(shape, math.prod(shape))
        while not self._stop.is_set:
            self._setter.turn()
            if shape is not None:
                self._is_up(shape)
            if not self._ready():
                continue
            try:
                frame = self._driver.read()
            except UnreadableImageError as error:
                self._leave_out(str(error))
                continue
            if frame is None:
                return self._idle()
            self._deliver(frame)
        return None

    def _ready(self) -> bool:
        """Turn the loop once; True when a frame is due and, if the camera may wait, has a slot."""
        due_seconds = self._driver.due_seconds()
        self._turn(due_seconds)
        if self._stop.is_set or due_seconds > _TURN_SECONDS:
            return False
        if self._camera.when_full == "wait" and self._ring is not None and self._ring.acquire() is None:
            # Waiting before the frame is read keeps its time of capture true.
            self._turn(_SLOT_POLL_SECONDS)
            return False
        return self._driver.poll()

    def _deliver(self, frame: Frame) -> None:
        for _ in range(frame.passed_over):
            self._seq += 1
            self._drop(DropCause.BACKLOG)
        for _ in range(frame.lost_before):
            self._seq += 1
            self._drop(DropCause.LOST_IN_TRANSFER)
        self._seq += 1
        self._notice(frame)
        ring = self._ring or self._make_ring(frame.pixels.shape, self._driver.slot_bytes(frame))
        if frame.pixels.nbytes > ring.slot_bytes or not self._fits_first(frame):
            self._drop(DropCause.SIZE_CHANGED)
            raise FrameSizeError(
                f"frames of {self._camera.name} changed from {_size(self._shape)} to "
                f"{_size(frame.pixels.shape)}; a new ring is needed"
            )
        self._is_up(frame.pixels.shape)
        digest = frame_digest(frame.pixels)
        quality = self._gate.judge(frame, digest.digest())
        if quality is Quality.OK and self._is_empty(frame):
            if self._camera.mode == "free":
                self._drop(DropCause.NO_PART)
                return
            # It may be a trigger's frame. Without it the next one, of another part, might be taken for it.
            quality = Quality.NO_PART
        slot = ring.acquire()
        if slot is None:
            self._drop(DropCause.RING_FULL)
        else:
            ring.write(slot, self._seq, frame.pixels)
            height, width, channels = frame.pixels.shape
            self._channel.send_wait(
                FrameRef(
                    camera=self._camera.name,
                    generation=self._generation,
                    slot=slot,
                    seq=self._seq,
                    captured_ns=frame.captured_ns,
                    captured_utc_ns=frame.captured_utc_ns,
                    height=height,
                    width=width,
                    channels=channels,
                    quality=quality,
                    label=frame.label,
                    source=frame.source,
                    sha256=digest.hexdigest(),
                    doubt_ns=frame.doubt_ns,
                    bit_depth=frame.bit_depth,
                    camera_settings=self._setter.taken_with(frame),
                    device=frame.device,
                )
            )
            self._heart.shown()

    def _leave_out(self, why: str) -> None:
        """Count a picture that cannot be used; of many, the log has each and the bus hears of some."""
        self._seq += 1
        self._drop(DropCause.UNREADABLE)
        log.event(logger, logging.WARNING, "picture_unreadable", camera=self._camera.name, detail=_fit(why))
        self._say_now_and_then("picture_unreadable", why)

    def _is_empty(self, frame: Frame) -> bool:
        """Whether a good frame certainly shows the empty belt."""
        if self._files.belt is None:
            return False
        if frame.pixels.shape[:2] != self._files.belt.size:
            self._say_now_and_then(
                "camera_presence",
                f"presence.empty_folder: its pictures are {_size(self._files.belt.size)}, frames are "
                f"{_size(frame.pixels.shape)}: every frame is inspected",
            )
            return False
        return self._files.belt.is_in(frame.pixels)

    def _notice(self, frame: Frame) -> None:
        """Report oddities of a frame, for a person, each kind at most every ten seconds."""
        # Where a source is dated by when there was silence, the time between two frames is always in doubt.
        usual_ns = 2 * max(0, frame.captured_ns - self._last_captured_ns)
        self._last_captured_ns = frame.captured_ns
        is_late = frame.doubt_ns > usual_ns and frame.flaw is not Quality.STALE
        late_ms = (time.monotonic_ns() - frame.captured_ns) / 1e6 if is_late else 0.0
        if self._state.phase is CameraPhase.UP and (frame.passed_over or late_ms > _LATE_MS):
            self._say_now_and_then(
                "camera_read_late",
                f"{f'frames were read up to {late_ms:.0f} ms after they were taken, ' if late_ms else ''}"
                f"{frame.passed_over} were skipped as too old, or of an age that nobody knows: the source is "
                "behind, the network holds frames back, or this machine is overloaded",
            )
        if frame.remark:
            self._say_now_and_then("camera_clock", frame.remark)
        if frame.transfer_remark:
            self._say_now_and_then("camera_transfer", frame.transfer_remark)

    def _say_now_and_then(self, name: str, detail: str) -> None:
        now_ns = time.monotonic_ns()
        if now_ns >= self._quiet_until_ns.get(name, 0):
            self._quiet_until_ns[name] = now_ns + _NOTICE_EVERY_NS
            self._channel.send_wait(CameraNotice(self._camera.name, name, _fit(detail)))

    def _fits_first(self, frame: Frame) -> bool:
        return self._camera.may_vary_in_size or frame.pixels.shape == self._shape

    def _is_up(self, shape: tuple[int, ...]) -> None:
        if self._state.phase is not CameraPhase.UP:
            self._backoff.reset()
            self._say(CameraPhase.UP, _size(shape))

    def _make_ring(self, shape: tuple[int, ...], slot_bytes: int) -> FrameRing:
        """The ring, made for frames of the first one's shape."""
        ring = FrameRing.create(self._generation, self._camera.slots, slot_bytes)
        ready = RingReady(self._camera.name, self._generation, ring.slots, ring.slot_bytes)
        self._channel.send_wait(ready, (ring.fd,))
        self._ring = ring
        self._shape = shape
        return ring

    def _drop(self, cause: DropCause) -> None:
        self._channel.send_wait(Drop(self._camera.name, self._generation, self._seq, STAGE, cause))

    def _idle(self) -> None:
        self._say(CameraPhase.ENDED)
        while not self._stop.is_set:
            self._turn(_TURN_SECONDS)

    def _pause(self, seconds: float) -> None:
        end = self._heart.now() + seconds
        while not self._stop.is_set and (left := end - self._heart.now()) > 0:
            self._turn(left)

    def _turn(self, timeout_seconds: float) -> None:
        """Send a sign of life, and wait up to `timeout_seconds` for a record of the main process."""
        self._heart.beat()
        # Records may come one after the other: none of them begins the wait anew.
        end = self._heart.now() + min(timeout_seconds, _TURN_SECONDS)
        while self._channel.wait(max(0.0, end - self._heart.now())):
            received = self._channel.receive()
            if received is not None and isinstance(received[0], Stop):
                self._stop.is_set = True
                return
            if received is not None and isinstance(received[0], ApplySettings):
                self._setter.want(received[0].settings)

    def _say_settings(self, settings: CameraSettings, problem: str) -> None:
        problem = _fit(problem)
        self._channel.send_wait(CameraSettingsReport(self._camera.name, settings, problem))
        level = logging.WARNING if problem else logging.INFO
        name = "camera_settings_failed" if problem else "camera_settings_applied"
        log.event(logger, level, name, camera=self._camera.name, detail=problem or str(settings))

    def _say(self, phase: CameraPhase, detail: str = "") -> None:
        state = CameraState(self._camera.name, phase, _fit(detail))
        if state == self._state:
            return
        self._state = state
        self._channel.send_wait(state)
        level = logging.WARNING if phase is CameraPhase.DOWN else logging.INFO
        log.event(logger, level, f"camera_{phase}", camera=self._camera.name, detail=state.detail or None)


def _fit(words: str) -> str:
    """Words that may be a camera's own, as they can be sent and shown: one line of some length."""
    return printable(words[:_MOST_WORDS])


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}{' grey' if shape[2] == 1 else ''}"


def _live(channel: Channel[ToCapture], start: StartCapture) -> ExitCode:
    stop = child.StopFlag()
    stop.install()
    rng = random.Random()  # noqa: S311 - jitter is no secret
    return CaptureWorker(start, CameraFiles(start.camera), channel, stop, rng).run()


def _by_hand(arguments: argparse.Namespace) -> ExitCode:
    return show(arguments.config, arguments.camera, arguments.count)


def main() -> ExitCode:
    """Run by the main process with `--channel`, or by hand with `--config`."""
    parser = child.argument_parser("python -m inspectd.capture.worker", __doc__)
    parser.add_argument("--camera", required=True, metavar="NAME", help="the camera to read")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="by hand: print what this camera delivers"
    )
    parser.add_argument("--count", type=int, metavar="N", help="by hand: stop after N frames")
    return child.run(parser, ToCapture, StartCapture, _live, _by_hand)


if __name__ == "__main__":
    sys.exit(main())
