"""Frames of cameras as images of good parts: those the daemon would judge, and no others."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.daemon import camera_table, settings
from support.mjpeg_camera import MjpegCamera
from support.pictures import noise, write_images

from inspectd.capture.driver import CameraError
from inspectd.cli.bank_camera import camera_frames, find_camera
from inspectd.config import ImagesCamera, OpenCvCamera, QualityGate
from inspectd.errors import InputError


def images_camera(folder, **more):
    return ImagesCamera(name="cam", recipe="r", folder=str(folder), fps=1000, **more)


def good(frames):
    return [name for name, frame in frames if not isinstance(frame, str)]


def test_what_the_daemon_would_not_judge_is_left_out_by_name_and_others_stand_for_it(tmp_path):
    pictures = write_images(tmp_path, [f"{i}.png" for i in range(8)])
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros_like(pictures[0]))
    torn = noise(1)
    torn[20:] = 128
    cv2.imwrite(str(tmp_path / "1.png"), torn)
    (tmp_path / "2.png").write_bytes((tmp_path / "3.png").read_bytes()[:2000])
    frames = list(camera_frames(images_camera(tmp_path), 4).frames)
    assert good(frames) == ["cam#4", "cam#5", "cam#6", "cam#7"]
    why = {name: frame for name, frame in frames if isinstance(frame, str)}
    assert why["cam#1"] == "the daemon would not judge it: black"
    assert why["cam#2"] == "the daemon would not judge it: partial"
    assert why["cam#3"].startswith("2.png: is incomplete")


def test_the_region_of_a_camera_is_cut_as_the_line_cuts_it(tmp_path):
    pictures = write_images(tmp_path / "pictures", ["0.png", "1.png"])
    file = tmp_path / "line.toml"
    regions = [
        f'[[cameras.regions]]\nname = "{name}"\nrectangle = {{left = 8, top = 4, width = {wide}, height = 9}}'
        for name, wide in (("pin", 20), ("far", 60))
    ]
    camera = camera_table("top", tmp_path / "pictures", fps=1000)
    file.write_text(settings(Path("x.bank"), "\n".join([camera, *regions])))
    camera, region = find_camera(file, "top/pin")
    cut = [frame for _, frame in camera_frames(camera, 2, region).frames]
    assert [np.array_equal(frame, whole[4:13, 8:28]) for frame, whole in zip(cut, pictures, strict=True)] == [
        True
    ] * 2
    camera, region = find_camera(file, "top/far")
    (_, why), *_ = camera_frames(camera, 2, region).frames
    assert why == "the daemon would not judge it: region far lies beyond it"
    for place in ("top", "top/rim"):
        with pytest.raises(InputError, match="expected what is judged by itself: top/pin, top/far"):
            find_camera(file, place)


@pytest.mark.timeout(60)
def test_a_camera_that_shows_nothing_ends_the_search(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((48, 64, 3), np.uint8))
    frames = list(camera_frames(images_camera(tmp_path, loop=True), 10).frames)
    assert not good(frames)
    assert len(frames) == 101


def test_a_build_that_was_busy_goes_on_with_fresh_frames():
    camera = MjpegCamera()
    camera.switch_on()
    settings = OpenCvCamera(
        name="cam", recipe="r", source=camera.url, reconnect_min_ms=10, quality=QualityGate(max_age_ms=300)
    )
    try:
        found = []
        for name, frame in camera_frames(settings, 4).frames:
            found.append((name, frame))
            if len(found) == 2:
                time.sleep(0.4)  # features are made meanwhile; the driver refuses its backlog then
        # Whether the time of the next one is known, depends on what else the machine does.
        assert len(good(found)) == 4
    finally:
        camera.switch_off()


def test_a_camera_that_is_not_there_is_said_at_once():
    camera = OpenCvCamera(name="cam", recipe="r", source="http://127.0.0.1:9/none", open_timeout_ms=100)
    with pytest.raises(CameraError, match="cannot be opened"):
        list(camera_frames(camera, 3).frames)
