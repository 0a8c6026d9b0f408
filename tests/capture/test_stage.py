"""The main process's side of a camera, with real rings and channels; the test plays the capture process."""

from __future__ import annotations

import os
import time

import msgspec
import numpy as np
import pytest

from inspectd.capture.messages import ApplySettings, StartCapture, ToCapture
from inspectd.capture.stage import CameraStage
from inspectd.config import ImagesCamera
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import RingReady
from inspectd.ipc.ring import FrameRing, RingError
from inspectd.records import (
    UNSET,
    CameraPhase,
    CameraSettings,
    CameraSettingsReport,
    CameraState,
    Drop,
    DropCause,
    FrameRef,
    Trigger,
)

PIXELS = np.zeros((2, 2, 3), np.uint8)


class Line:
    """What the service is to a camera: keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[FrameRef] = []
        self.drops: list[Drop] = []
        self.phases: list[CameraPhase] = []
        self.detached: list[int] = []
        self.problems: list[str] = []

    def on_ring_attached(self, camera, ring):
        pass

    def on_ring_detached(self, camera, generation):
        self.detached.append(generation)

    def on_frame(self, frame, now_ns):
        self.frames.append(frame)

    def on_drop(self, drop):
        self.drops.append(drop)

    def on_camera_phase(self, camera, phase, detail):
        self.phases.append(phase)

    def on_camera_settings(self, camera, settings, problem):
        self.problems.append(problem)


@pytest.fixture
def line():
    return Line()


@pytest.fixture
def stage(line):
    camera = ImagesCamera(name="cam", recipe="r", folder="/nowhere")
    stage = CameraStage(camera, line, time.monotonic_ns)
    ends = []

    def launch():
        ours, theirs = Channel.pair()
        ends.extend([Channel(ours, RingReady), Channel(theirs, ToCapture)])
        stage.started(ends[-2])
        record, _ = ends[-1].receive()
        assert isinstance(record, StartCapture)
        assert record.settings == stage.in_force
        ring = FrameRing.create(record.generation, 2, PIXELS.nbytes)
        stage.received(RingReady("cam", record.generation, 2, PIXELS.nbytes), [os.dup(ring.fd)], 0)
        ends.append(ring)
        return ring

    stage.in_force = UNSET
    stage.ends = ends
    stage.launch = launch
    yield stage
    stage.close()
    for end in ends:
        end.close()


def captured(ring: FrameRing, number: int, **changes) -> FrameRef:
    slot = ring.acquire()
    ring.write(slot, number, PIXELS)
    frame = FrameRef("cam", ring.generation, slot, number, time.monotonic_ns(), 0, 2, 2)
    return msgspec.structs.replace(frame, **changes)


def test_a_frame_holds_its_slot_until_it_is_released(stage, line):
    ring = stage.launch()
    frame = captured(ring, 1)
    stage.received(frame, [], 0)
    assert line.frames == [frame]
    assert (stage.slots_in_use, stage.free_slots, ring.held) == (1, stage.slots - 1, 1)
    stage.release(frame)
    assert (stage.slots_in_use, ring.held) == (0, 0)


@pytest.mark.parametrize("change", [{"camera": "other"}, {"generation": 9}, {"slot": 5}, {"seq": 8}])
def test_a_reference_to_what_is_not_there_is_a_counted_drop(stage, line, change):
    ring = stage.launch()
    stage.received(captured(ring, 1, **change), [], 0)
    assert not line.frames
    assert [drop.cause for drop in line.drops] == [DropCause.INVALID_REFERENCE]


def test_a_frame_that_may_be_exposed_after_its_recipe_changed_with_its_camera_is_not_judged(line):
    camera = ImagesCamera(name="cam", recipe="r", folder="/nowhere", latency_ms=0.3, latency_min_ms=0.1)
    stage, ring = CameraStage(camera, line, lambda: 10**9), FrameRing.create(0, 4, PIXELS.nbytes)
    stage.received(RingReady("cam", 0, 4, PIXELS.nbytes), [os.dup(ring.fd)], 0)
    stage.begin_change(1_000_000)
    for number, at_ns in enumerate((1_100_000, 1_100_001), 1):
        stage.received(captured(ring, number, captured_ns=at_ns), [], 0)
    stage.close()
    ring.close()
    assert [frame.exposed for frame in line.frames] == [(800_000, 1_000_000), (800_001, 1_000_001)]
    assert [frame.camera_settings for frame in line.frames] == [UNSET, None]


def test_a_frame_cannot_bring_its_own_trigger(stage, line):
    stage.received(captured(stage.launch(), 1, trigger=Trigger("forged")), [], 0)
    assert line.frames[0].trigger is None


@pytest.mark.parametrize("doubt_ns", [10**12, -5])
def test_a_frame_cannot_have_come_after_it_was_announced(stage, line, doubt_ns):
    stage.received(captured(stage.launch(), 1, doubt_ns=doubt_ns), [], 0)
    frame = line.frames[0]
    assert frame.doubt_ns >= 0
    assert frame.captured_ns + frame.doubt_ns <= time.monotonic_ns()


def test_a_frame_announced_twice_is_judged_once(stage, line):
    frame = captured(stage.launch(), 1)
    stage.received(frame, [], 0)
    stage.received(frame, [], 0)
    assert len(line.frames) == 1
    assert [drop.cause for drop in line.drops] == [DropCause.INVALID_REFERENCE]


def test_a_frame_from_the_future_does_not_stretch_its_deadline(stage, line):
    ring = stage.launch()
    stage.received(captured(ring, 1, captured_ns=time.monotonic_ns() + 10**12), [], 0)
    assert line.frames[0].captured_ns <= time.monotonic_ns()


def test_a_dead_cameras_ring_is_kept_until_its_last_frame_is_released(stage, line):
    old = captured(stage.launch(), 1)
    stage.received(old, [], 0)
    stage.lost("killed by SIGKILL", None, 0)
    assert line.phases == [CameraPhase.DOWN]
    new_ring = stage.launch()
    assert (new_ring.generation, line.detached) == (2, [])
    new = captured(new_ring, 1)
    stage.received(new, [], 0)
    stage.release(old)
    assert line.detached == [1]
    assert stage.slots_in_use == 1
    stage.release(new)
    assert line.detached == [1]  # the running generation's ring stays


def test_an_unused_ring_goes_with_its_process(stage, line):
    stage.launch()
    stage.lost("exited with code 1", 1, 0)
    assert line.detached == [1]


def test_a_ring_of_another_generation_is_refused(stage):
    stage.launch()
    stale = FrameRing.create(7, 2, PIXELS.nbytes)
    with pytest.raises(RingError, match="generation 7 came, expected 1"):
        stage.received(RingReady("cam", 7, 2, PIXELS.nbytes), [os.dup(stale.fd)], 0)
    stale.close()


def test_a_drop_is_this_cameras_whatever_it_says(stage, line):
    stage.launch()
    stage.received(Drop("other", 1, 1, "capture", DropCause.RING_FULL), [], 0)
    assert line.drops == [Drop("cam", 1, 1, "capture", DropCause.RING_FULL)]


def test_a_phase_is_told_when_it_changes(stage, line):
    stage.launch()
    for phase in (CameraPhase.OPENING, CameraPhase.UP, CameraPhase.UP, CameraPhase.DOWN):
        stage.received(CameraState("cam", phase), [], 0)
    assert line.phases == [CameraPhase.UP, CameraPhase.DOWN]


def test_every_capture_process_begins_with_the_settings_in_force_and_is_sent_others_once(stage, line):
    stage.in_force = CameraSettings(1000.0)
    stage.use_settings(stage.in_force)
    stage.launch()
    theirs = stage.ends[-2]
    for _ in range(2):
        stage.use_settings(CameraSettings(2000.0))
    assert theirs.receive() == (ApplySettings(CameraSettings(2000.0)), [])
    assert theirs.receive() is None
    stage.received(CameraSettingsReport("cam", CameraSettings(2000.0), "no such value"), [], 0)
    assert (stage.settings_problem, line.problems) == ("no such value", ["no such value"])
    stage.lost("killed", None, 0)
    assert stage.settings_problem == ""
    stage.in_force = CameraSettings(2000.0)
    stage.launch()


def test_a_capture_process_that_does_not_take_its_settings_is_replaced(stage):
    stage.launch()
    number = 1.0
    while stage.stuck is None:
        stage.use_settings(CameraSettings(number))
        number += 1
    stage.in_force = CameraSettings(number - 1)
    stage.launch()
    assert stage.stuck is None
