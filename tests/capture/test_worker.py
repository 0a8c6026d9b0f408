import os
import select
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from support.capture_child import CaptureChild
from support.pictures import write_images, write_video

from inspectd.capture.messages import ApplySettings, FromCapture, StartCapture
from inspectd.config import ImagesCamera, OpenCvCamera
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import Alive, Failed, RingReady
from inspectd.records import CameraPhase, CameraSettings, DropCause, FrameRef, Quality


def images(folder, **settings):
    return ImagesCamera(**({"name": "cam", "recipe": "r", "folder": str(folder), "fps": 100.0} | settings))


def video(path, **settings):
    return OpenCvCamera(**({"name": "cam", "recipe": "r", "source": str(path), "fps": 100.0} | settings))


def test_every_image_arrives_once_in_order_with_its_pixels_and_truth(tmp_path):
    pictures = write_images(tmp_path, ["bad/a.png", "good/b.png", "good/c.png", "top.png"])
    with CaptureChild(images(tmp_path), generation=7) as child:
        child.until_phase(CameraPhase.ENDED)
        assert child.stop() == 0
    assert [type(r).__name__ for r in child.records[:4]] == [
        "CameraState",
        "RingReady",
        "CameraState",
        "FrameRef",
    ]
    assert [s.phase for s in child.states()] == [CameraPhase.OPENING, CameraPhase.UP, CameraPhase.ENDED]
    assert [(f.seq, f.generation, f.label, f.source) for f in child.frames()] == [
        (1, 7, "bad", "bad/a.png"),
        (2, 7, "good", "good/b.png"),
        (3, 7, "good", "good/c.png"),
        (4, 7, None, "top.png"),
    ]
    assert all(f.quality is Quality.OK for f in child.frames())
    for seq, picture in enumerate(pictures, 1):
        np.testing.assert_array_equal(child.pixels[seq], picture)


def test_a_video_file_arrives_whole_and_ends(tmp_path):
    write_video(tmp_path / "v.avi", frames=12)
    with CaptureChild(video(tmp_path / "v.avi")) as child:
        child.until_phase(CameraPhase.ENDED)
        assert child.stop() == 0
    assert [f.seq for f in child.frames()] == list(range(1, 13))
    times = [f.captured_ns for f in child.frames()]
    assert times == sorted(times)


def test_the_heart_beats_through_replay_end_and_reconnect(tmp_path):
    write_images(tmp_path, ["a.png", "b.png"])
    with CaptureChild(images(tmp_path, fps=1.0)) as child:
        child.until_phase(CameraPhase.ENDED)
        began = len(child.beats)
        child.until(lambda: len(child.beats) >= began + 5)
        gaps = np.diff(child.beats)
    # The promise is 200 ms; the middle gap shows it where the machine is busy with something else.
    assert np.median(gaps) < 0.2
    assert len(child.frames()) == 2


def test_without_a_free_slot_frames_are_dropped_and_counted(tmp_path):
    write_images(tmp_path, [f"{i}.png" for i in range(6)])
    with CaptureChild(images(tmp_path, slots=2), release=False) as child:
        child.until_phase(CameraPhase.ENDED)
    assert [f.seq for f in child.frames()] == [1, 2]
    assert [(d.seq, d.cause, d.stage) for d in child.drops()] == [
        (seq, DropCause.RING_FULL, "capture") for seq in (3, 4, 5, 6)
    ]


def test_a_camera_that_may_wait_takes_its_frame_when_a_slot_is_free(tmp_path):
    write_images(tmp_path, [f"{i}.png" for i in range(6)])
    with CaptureChild(images(tmp_path, slots=2, when_full="wait"), release=False) as child:
        child.until(lambda: len(child.frames()) == 2)
        beats = len(child.beats)
        child.until(lambda: len(child.beats) >= beats + 3)
        assert len(child.frames()) == 2
        released_ns = time.monotonic_ns()
        child.release = True
        for frame in child.frames():
            child.ring.release(frame.slot)
        child.until_phase(CameraPhase.ENDED)
    assert [f.seq for f in child.frames()] == [1, 2, 3, 4, 5, 6]
    assert child.frames()[2].captured_ns > released_ns
    assert child.drops() == []


def test_a_stop_while_waiting_for_a_slot_is_obeyed(tmp_path):
    write_images(tmp_path, [f"{i}.png" for i in range(6)])
    with CaptureChild(images(tmp_path, slots=2, when_full="wait"), release=False) as child:
        child.until(lambda: len(child.frames()) == 2)
        assert child.stop() == 0


def test_images_of_mixed_sizes_share_one_ring(tmp_path):
    pictures = write_images(tmp_path, ["a.png", "b.png", "c.png"], sizes=[(20, 30), (90, 80), (50, 10)])
    with CaptureChild(images(tmp_path)) as child:
        child.until_phase(CameraPhase.ENDED)
    assert [(f.height, f.width) for f in child.frames()] == [(20, 30), (90, 80), (50, 10)]
    for seq, picture in enumerate(pictures, 1):
        np.testing.assert_array_equal(child.pixels[seq], picture)
    assert child.ring.slot_bytes == 90 * 80 * 3


def test_a_damaged_image_is_reported_and_the_replay_goes_on(tmp_path):
    write_images(tmp_path, ["a.png", "c.png"])
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with CaptureChild(images(tmp_path)) as child:
        child.until_phase(CameraPhase.ENDED)
        assert child.stop() == 0
        assert "b.png" in child.log()
    assert [(f.seq, f.source) for f in child.frames()] == [(1, "a.png"), (3, "c.png")]
    assert [(d.seq, d.cause) for d in child.drops()] == [(2, DropCause.UNREADABLE)]
    assert [(n.event, "b.png" in n.detail) for n in child.notices()] == [("picture_unreadable", True)]
    assert [s.detail for s in child.states() if s.phase is CameraPhase.UP] == ["64x48"]


def test_a_folder_whose_pictures_are_gone_is_down_until_they_are_back(tmp_path):
    write_images(tmp_path, [f"{number:03}.png" for number in range(100)])
    with CaptureChild(images(tmp_path, loop=True, reconnect_min_ms=50, reconnect_max_ms=100)) as child:
        child.until_phase(CameraPhase.UP)
        for path in tmp_path.iterdir():
            path.unlink()
        down = child.until_phase(CameraPhase.DOWN)
        assert "is gone; is the folder still mounted?" in down.detail
        child.until(lambda: "holds no image" in child.states()[-1].detail)
        assert not child.drops()
        write_images(tmp_path, ["a.png"])
        child.until(lambda: child.states()[-1].phase is CameraPhase.UP)
        assert child.stop() == 0


def test_a_missing_folder_is_down_until_it_is_there(tmp_path):
    folder = tmp_path / "share"
    with CaptureChild(images(folder, reconnect_min_ms=50, reconnect_max_ms=100)) as child:
        down = child.until_phase(CameraPhase.DOWN)
        assert str(folder) in down.detail
        beats = len(child.beats)
        child.until(lambda: len(child.beats) >= beats + 3)
        write_images(tmp_path / "arriving", ["a.png"])
        (tmp_path / "arriving").rename(folder)
        child.until_phase(CameraPhase.ENDED)
    assert [s.phase for s in child.states()] == [
        CameraPhase.OPENING,
        CameraPhase.DOWN,
        CameraPhase.UP,
        CameraPhase.ENDED,
    ]
    assert len(child.frames()) == 1


def test_settings_that_come_all_the_time_hold_up_neither_its_heart_nor_its_reopening(tmp_path):
    folder = tmp_path / "images"
    with CaptureChild(images(folder, reconnect_max_ms=100)) as child:
        child.until_phase(CameraPhase.DOWN)
        write_images(folder, ["a.png"])
        child.beats.clear()
        end = time.monotonic() + 5
        while not child.frames():
            assert time.monotonic() < end
            child.channel.send(ApplySettings(CameraSettings(exposure_us=1000.0 + len(child.beats))))
            child.take(0.002)
        assert child.stop() == 0


def test_a_changed_frame_size_drops_the_frame_and_asks_for_a_new_generation(tmp_path):
    write_video(tmp_path / "v.avi", frames=3)
    write_video(tmp_path / "other.avi", frames=3, height=96, width=128)
    with CaptureChild(video(tmp_path / "v.avi", loop=True, fps=20.0)) as child:
        child.until(child.frames)
        (tmp_path / "other.avi").replace(tmp_path / "v.avi")
        child.until(lambda: isinstance(child.records[-1], Failed))
        assert child.exit_code() == 1
    drop = child.drops()[-1]
    assert (drop.cause, drop.seq) == (DropCause.SIZE_CHANGED, child.frames()[-1].seq + 1)
    assert "64x48 to 128x96" in child.records[-1].detail


def test_it_ends_quietly_when_the_main_process_is_gone(tmp_path):
    write_images(tmp_path, ["a.png"])
    with CaptureChild(images(tmp_path, loop=True)) as child:
        child.until(child.frames)
        child.channel.close()
        assert child.exit_code() == 0
        assert "Traceback" not in child.log()


def test_sigterm_stops_it_and_ctrl_c_is_left_to_the_main_process(tmp_path):
    write_images(tmp_path, ["a.png", "b.png"])
    with CaptureChild(images(tmp_path, loop=True)) as child:
        child.until(child.frames)
        child.process.send_signal(signal.SIGINT)
        seen = len(child.frames())
        child.until(lambda: len(child.frames()) > seen + 5)
        child.process.send_signal(signal.SIGTERM)
        assert child.exit_code() == 0


def test_it_dies_with_its_parent_even_while_the_channel_is_open(tmp_path):
    write_images(tmp_path, ["a.png"])
    mine, theirs = Channel.pair()
    parent_program = textwrap.dedent("""
        import subprocess, sys, time
        fd = int(sys.argv[1])
        child = subprocess.Popen([sys.executable, "-m", "inspectd.capture.worker", "--channel", str(fd),
                                  "--camera", "cam"], pass_fds=[fd])
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_program, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdout=subprocess.PIPE,
    )
    pid = int(parent.stdout.readline())
    channel = Channel(mine, FromCapture)
    channel.send(StartCapture(images(tmp_path), 1))
    received = None
    while received is None or not isinstance(received[0], Alive):
        assert channel.wait(10)
        received = channel.receive()
    child = os.pidfd_open(pid)
    parent.kill()
    parent.communicate()
    poller = select.poll()
    poller.register(child, select.POLLIN)
    assert poller.poll(5000), "the capture process outlived its parent"
    os.close(child)
    theirs.close()
    channel.close()


def run_by_hand(*arguments):
    command = [sys.executable, "-m", "inspectd.capture.worker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def config_file(tmp_path):
    write_images(tmp_path / "pictures", ["good/a.png", "good/b.png"])
    path = tmp_path / "line.toml"
    path.write_text(
        '[[recipes]]\nname = "r"\nbank = "x"\n'
        '[[cameras]]\nkind = "images"\nname = "cam"\nrecipe = "r"\nfolder = "pictures"\nfps = 50\n'
        '[[cameras]]\nkind = "opencv"\nname = "away"\nrecipe = "r"\nsource = "away.avi"\n'
    )
    return str(path)


def test_by_hand_it_prints_a_line_a_frame(config_file):
    result = run_by_hand("--config", config_file, "--camera", "cam")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["frame", "1", "64x48"]
    assert "quality=ok" in lines[1]
    assert lines[2] == "ended after 2 frames"


def test_by_hand_the_count_ends_it(config_file):
    result = run_by_hand("--config", config_file, "--camera", "cam", "--count", "1")
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--camera", "away"], 3, "away.avi: is not a file"),
        (["--camera", "nobody"], 2, "expected one of: cam, away"),
        (["--camera", "cam", "--channel", "0"], 2, "--channel 0"),
    ],
)
def test_by_hand_what_is_wrong_is_said_without_a_traceback(config_file, arguments, code, said):
    result = run_by_hand("--config", config_file, *arguments)
    assert result.returncode == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_ring_is_announced_before_its_frames(tmp_path):
    write_images(tmp_path, ["a.png"])
    with CaptureChild(images(tmp_path, slots=3)) as child:
        child.until_phase(CameraPhase.ENDED)
    kinds = [type(r) for r in child.records]
    assert kinds.index(RingReady) < kinds.index(FrameRef)
    assert child.ring.slots == 3
