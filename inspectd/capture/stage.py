"""Stage 1, the main process's side: one capture process per camera, its rings, and their slots in use."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from inspectd.capture.messages import ApplySettings, FilesFound, FromCapture, StartCapture, Stop
from inspectd.config import Camera
from inspectd.ipc.channel import Channel, ChannelClosedError, ChannelFullError
from inspectd.ipc.messages import Alive, RingReady
from inspectd.ipc.ring import FrameRing, RingError
from inspectd.log import event
from inspectd.records import (
    UNSET,
    CameraNotice,
    CameraPhase,
    CameraSettings,
    CameraSettingsReport,
    CameraState,
    Drop,
    DropCause,
    FrameRef,
)

_log: Final = logging.getLogger("inspectd.capture")


class CameraEvents(Protocol):
    """Takes frames, drops and reports of the cameras."""

    def on_ring_attached(self, camera: str, ring: FrameRing) -> None:
        """The camera's frames will lie in this ring from now on."""

    def on_ring_detached(self, camera: str, generation: int) -> None:
        """No frame lies in this ring any more."""

    def on_frame(self, frame: FrameRef, now_ns: int) -> None:
        """A frame came; its slot is held until `CameraStage.release`."""

    def on_drop(self, drop: Drop) -> None:
        """The camera lost a frame."""

    def on_camera_phase(self, camera: str, phase: CameraPhase, detail: str) -> None:
        """The camera's phase changed."""

    def on_camera_notice(self, camera: str, event: str, detail: str) -> None:
        """The camera reports something odd, for a person to look at; it goes on delivering."""

    def on_camera_settings(self, camera: str, settings: CameraSettings, problem: str) -> None:
        """The camera was set and answers so; with a `problem` it is not set, and its frames do not count."""


class CameraStage:
    """One camera: a job for the supervisor, and the rings its frames lie in.

    Each launch of the capture process is a generation with a ring of its own. A dead process's ring lives on
    until the last frame in it has its verdict: those frames were complete when they were announced.
    """

    module = "inspectd.capture.worker"
    receives: Any = FromCapture
    start_timeout_ns = 30_000_000_000

    def __init__(self, camera: Camera, events: CameraEvents, clock: Callable[[], int]) -> None:
        """Deliver what `camera` captures to `events`."""
        self.name = f"capture:{camera.name}"
        self.arguments: Sequence[str] = ("--camera", camera.name)
        self.stall_timeout_ns = int(camera.stall_timeout_ms * 1e6)
        self.camera = camera
        self.phase = CameraPhase.OPENING
        self.generation = 0
        self.stuck: str | None = None
        self.settings_problem = ""
        """The reason why it is not set as it should be; empty: none is known."""
        self.files_changed = False
        """Whether the files that its pictures are made by are not those that the line took up."""
        self._files_sha256: str | None = None
        self._settings = UNSET
        self._stopping = False
        self._is_changing = False
        self._outdated_from_ns: int | None = None
        """What is exposed later is judged as pictures by the next settings are."""
        self._events = events
        self._clock = clock
        self._channel: Channel[Any] | None = None
        self._rings: dict[int, FrameRing] = {}
        self._in_use: dict[int, set[int]] = {}

    def started(self, channel: Channel[Any]) -> None:
        """Begin a new generation, and send its capture process the settings."""
        self.generation += 1
        self.stuck = None
        self._channel = channel
        self.files_changed = False
        channel.send(StartCapture(self.camera, self.generation, self._settings, self._files_sha256))

    def use_settings(self, settings: CameraSettings) -> None:
        """Have the camera set to these from now on; frames say with what they were taken."""
        if settings == self._settings:
            return
        self._settings = settings
        if self._channel is None:
            return
        try:
            self._channel.send(ApplySettings(settings))
        except ChannelFullError as error:
            self.stuck = str(error)  # it is replaced, and the next one begins with them
        except ChannelClosedError as error:
            event(_log, logging.WARNING, "settings_not_sent", camera=self.camera.name, cause=str(error))

    def received(self, record: Any, fds: list[int], now_ns: int) -> None:
        """See `Job.received`."""
        if isinstance(record, FrameRef):
            self._frame(record, now_ns)
        elif isinstance(record, Drop):
            self._events.on_drop(msgspec.structs.replace(record, camera=self.camera.name))
        elif isinstance(record, RingReady):
            self._attach(fds)
        elif isinstance(record, CameraState):
            self._change_phase(record.phase, record.detail)
        elif isinstance(record, CameraNotice):
            self._events.on_camera_notice(self.camera.name, record.event, record.detail)
        elif isinstance(record, CameraSettingsReport):
            self.settings_problem = record.problem
            self._events.on_camera_settings(self.camera.name, record.settings, record.problem)
        elif isinstance(record, FilesFound):
            self._files_sha256 = self._files_sha256 or record.sha256
            self.files_changed = record.sha256 != self._files_sha256
        elif not isinstance(record, Alive):
            raise TypeError(f"not a record of a capture process: {record!r}")

    def lost(self, cause: str, exit_code: int | None, now_ns: int) -> None:  # noqa: ARG002
        """The capture process is gone; frames it announced are still judged."""
        self._channel = None
        self.settings_problem = ""
        if self._stopping:
            self.phase = CameraPhase.ENDED
        elif self._is_changing:
            self._change_phase(CameraPhase.OPENING, "its settings changed")
        else:
            self._change_phase(CameraPhase.DOWN, cause)
        for generation in list(self._rings):
            self._retire_if_unused(generation)

    def release(self, frame: FrameRef) -> None:
        """Give a frame's slot back to the capture process."""
        ring = self._rings[frame.generation]
        ring.release(frame.slot)
        self._in_use[frame.generation].remove(frame.slot)
        self._retire_if_unused(frame.generation)

    def stop_capturing(self) -> None:
        """Ask for no more frames, for good; those in flight still come."""
        self._stopping = True
        self.ask_to_stop()

    def begin_change(self, judged_anew_from_ns: int | None) -> None:
        """Take no triggers any more: the capture process will end, and start anew with other settings.

        A free-running camera's frames go on until then.

        Args:
            judged_anew_from_ns: a recipe for the new settings judges what is exposed later; None: the one
                of before does.
        """
        self._is_changing = True
        self._outdated_from_ns = judged_anew_from_ns

    def use(self, camera: Camera) -> None:
        """Start every capture process from now on with these settings, and files as they are by then."""
        self._is_changing, self._outdated_from_ns = False, None
        self._files_sha256 = None
        self.camera = camera
        self.stall_timeout_ns = int(camera.stall_timeout_ms * 1e6)

    def ask_to_stop(self) -> None:
        """Ask the capture process to end; those of its frames that are in flight still come."""
        if self._channel is None:
            return
        try:
            self._channel.send(Stop())
        except (ChannelFullError, ChannelClosedError) as error:
            event(_log, logging.WARNING, "capture_not_stopped", camera=self.camera.name, cause=str(error))

    @property
    def is_up(self) -> bool:
        """True while the camera delivers frames, and goes on to."""
        return self.phase is CameraPhase.UP and not self._is_changing

    @property
    def slots(self) -> int:
        """Slots of one ring."""
        return self.camera.slots

    @property
    def slots_in_use(self) -> int:
        """Ring slots that hold frames without a verdict, of all generations."""
        return sum(len(slots) for slots in self._in_use.values())

    @property
    def free_slots(self) -> int:
        """Slots left for frames; below 0 while frames of an earlier ring still wait for their verdicts."""
        return self.slots - self.slots_in_use

    def rings(self) -> list[FrameRing]:
        """Every ring that may still be read."""
        return list(self._rings.values())

    def close(self) -> None:
        """Give all rings back."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()

    def _frame(self, frame: FrameRef, now_ns: int) -> None:
        ring = self._rings.get(frame.generation)
        known = frame.camera == self.camera.name and ring is not None and ring.holds(frame)
        if not known or frame.slot in self._in_use[frame.generation]:
            event(_log, logging.ERROR, "invalid_frame_reference", camera=self.camera.name, frame=frame)
            cause = DropCause.INVALID_REFERENCE
            self._events.on_drop(Drop(self.camera.name, frame.generation, frame.seq, "capture", cause))
            return
        # Capture cannot have taken a frame in the future; a deadline must not be stretched by a wrong stamp.
        clock_ns = self._clock()
        captured_ns = min(frame.captured_ns, clock_ns)
        doubt_ns = max(0, min(frame.doubt_ns, clock_ns - captured_ns))
        self._in_use[frame.generation].add(frame.slot)
        # Nor does it set the trigger: which frame belongs to one is decided by the matcher.
        dated = msgspec.structs.replace(
            frame, captured_ns=captured_ns, doubt_ns=doubt_ns, trigger=None,
            latency_ns=self.camera.latency_span_ns,
        )  # fmt: skip
        from_ns = self._outdated_from_ns
        if self.camera.mode == "free" and from_ns is not None and not dated.exposed.is_up_to(from_ns):
            dated = msgspec.structs.replace(dated, camera_settings=None)
        self._events.on_frame(dated, now_ns)

    def _attach(self, fds: list[int]) -> None:
        if len(fds) != 1:
            for fd in fds:
                os.close(fd)
            raise RingError(f"{self.name}: a ring came with {len(fds)} descriptors, expected 1")
        ring = FrameRing.attach(fds[0], for_frames=False)
        if ring.generation != self.generation or ring.generation in self._rings:
            ring.close()
            raise RingError(
                f"{self.name}: a ring of generation {ring.generation} came, expected {self.generation}"
            )
        self._rings[ring.generation] = ring
        self._in_use[ring.generation] = set()
        self._events.on_ring_attached(self.camera.name, ring)
        event(
            _log, logging.INFO, "ring_attached", camera=self.camera.name, generation=ring.generation,
            slots=ring.slots, slot_bytes=ring.slot_bytes,
        )  # fmt: skip

    def _retire_if_unused(self, generation: int) -> None:
        """Give a ring back once its process is gone and the last of its frames is done."""
        running = self._channel is not None and generation == self.generation
        if not running and not self._in_use[generation]:
            self._rings.pop(generation).close()
            del self._in_use[generation]
            self._events.on_ring_detached(self.camera.name, generation)

    def _change_phase(self, phase: CameraPhase, detail: str) -> None:
        if phase is not self.phase or detail:
            self.phase = phase
            self._events.on_camera_phase(self.camera.name, phase, detail)
