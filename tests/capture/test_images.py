import os

import cv2
import pytest
from support.ordinary import run_without_rights
from support.pictures import noise, png_of_size, write_images

from inspectd.capture.driver import CameraError, UnreadableImageError
from inspectd.capture.images import ImagesDriver
from inspectd.capture.quality import frame_digest
from inspectd.config import ImagesCamera


def opened(folder, **settings):
    driver = ImagesDriver(ImagesCamera(name="c", recipe="r", folder=str(folder), fps=1000.0, **settings))
    driver.open(lambda: None)
    return driver


def sources(driver, most=100):
    found = []
    while len(found) < most and (frame := driver.read()) is not None:
        found.append(frame.source)
    return found


def test_order_is_by_path_and_other_files_are_left_alone(tmp_path):
    write_images(tmp_path, ["b/2.png", "a/3.jpg", "b/1.PNG", "0.bmp"])
    (tmp_path / "notes.txt").write_text("no picture")
    assert sources(opened(tmp_path)) == ["0.bmp", "a/3.jpg", "b/1.PNG", "b/2.png"]


def test_a_seed_gives_the_same_other_order_every_time(tmp_path):
    names = [f"{i:02}.png" for i in range(20)]
    write_images(tmp_path, names)
    first = sources(opened(tmp_path, shuffle_seed=3))
    assert first == sources(opened(tmp_path, shuffle_seed=3))
    assert first != names
    assert sorted(first) == names
    assert first != sources(opened(tmp_path, shuffle_seed=4))


def test_a_loop_goes_on_from_the_start(tmp_path):
    write_images(tmp_path, ["a.png", "b.png"])
    assert sources(opened(tmp_path, loop=True), most=5) == ["a.png", "b.png", "a.png", "b.png", "a.png"]


def test_a_nested_folder_is_the_label(tmp_path):
    write_images(tmp_path, ["test/scratch/a.png"])
    assert opened(tmp_path).read().label == "test/scratch"


def test_a_damaged_file_is_reported_once_however_often_the_loop_passes_it(tmp_path):
    write_images(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_bytes(b"nothing")
    driver = opened(tmp_path, loop=True)
    assert driver.read().source == "a.png"
    with pytest.raises(UnreadableImageError, match=r"b\.png"):
        driver.read()
    assert sources(driver, most=3) == ["a.png"] * 3


@pytest.mark.parametrize("preload", [False, True])
def test_a_file_that_was_still_copied_at_its_turn_is_replayed_once_it_is_whole(tmp_path, preload):
    pictures = write_images(tmp_path, ["a.png", "b.png"])
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    driver = opened(tmp_path, loop=True, preload=preload)
    assert driver.read().source == "a.png"
    with pytest.raises(UnreadableImageError, match=r"b\.png"):
        driver.read()
    assert sources(driver, most=2) == ["a.png"] * 2
    (tmp_path / "b.png").write_bytes(whole)
    frames = [driver.read() for _ in range(2)]
    assert {frame.source for frame in frames} == {"a.png", "b.png"}
    assert all((frame.pixels == pictures[frame.source == "b.png"]).all() for frame in frames)


@pytest.mark.parametrize("loop", [False, True])
def test_a_folder_of_damaged_files_is_a_fault_not_an_end(tmp_path, loop):
    (tmp_path / "b.png").write_bytes(b"nothing")
    driver = opened(tmp_path, loop=loop)
    with pytest.raises(UnreadableImageError):
        driver.read()
    with pytest.raises(CameraError, match="none of its 1 images"):
        driver.read()


def test_an_empty_folder_says_what_it_looked_for(tmp_path):
    with pytest.raises(CameraError, match=r"holds no image.*\.png"):
        opened(tmp_path)


def test_opening_beats_for_every_file(tmp_path):
    write_images(tmp_path, ["a.png", "b.png", "c.png"])
    beats = []
    driver = ImagesDriver(ImagesCamera(name="c", recipe="r", folder=str(tmp_path)))
    driver.open(lambda: beats.append(1))
    assert len(beats) >= 3


def test_preloaded_images_need_their_files_no_more(tmp_path):
    pictures = write_images(tmp_path, ["a.png", "b.png"])
    driver = opened(tmp_path, loop=True, preload=True)
    for path in tmp_path.iterdir():
        path.unlink()
    frames = [driver.read() for _ in range(4)]
    assert [frame.source for frame in frames] == ["a.png", "b.png", "a.png", "b.png"]
    assert all((frame.pixels == pictures[i % 2]).all() for i, frame in enumerate(frames))


def test_a_damaged_file_is_reported_when_its_turn_comes_though_it_was_preloaded(tmp_path):
    write_images(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_bytes(b"nothing")
    driver = opened(tmp_path, preload=True)
    assert driver.read().source == "a.png"
    with pytest.raises(UnreadableImageError, match=r"b\.png"):
        driver.read()


def test_preloaded_images_are_those_of_the_files_that_are_there_as_it_is_opened_anew(tmp_path):
    write_images(tmp_path, ["a.png", "b.png"])
    driver = opened(tmp_path, loop=True, preload=True)
    assert [driver.read().source for _ in range(2)] == ["a.png", "b.png"]
    (tmp_path / "a.png").write_bytes(b"nothing")
    driver.open(lambda: None)
    with pytest.raises(UnreadableImageError, match=r"a\.png"):
        driver.read()
    assert driver.read().source == "b.png"


def test_an_absurd_header_makes_no_ring_and_is_said_once(tmp_path):
    pictures = write_images(tmp_path, ["a.png", "b.png"], sizes=[(48, 64), (96, 128)])
    (tmp_path / "c.png").write_bytes(png_of_size(13_000, 13_000))
    (tmp_path / "d.png").write_bytes(png_of_size(60_000, 60_000))
    driver = opened(tmp_path, loop=True)
    first = driver.read()
    assert driver.slot_bytes(first) == pictures[1].nbytes
    assert driver.read().source == "b.png"
    for name in ("c", "d"):
        with pytest.raises(UnreadableImageError, match=rf"{name}\.png"):
            driver.read()
    assert sources(driver, most=4) == ["a.png", "b.png"] * 2


@pytest.mark.parametrize("preload", [False, True])
def test_what_a_grey_camera_recorded_comes_as_it_gave_it(tmp_path, preload):
    grey = noise(3)[:, :, :1].copy()
    assert cv2.imwrite(str(tmp_path / "a.png"), grey)
    frame = opened(tmp_path, colour=False, preload=preload).read()
    assert frame.pixels.shape == grey.shape
    assert frame_digest(frame.pixels).digest() == frame_digest(grey).digest()
    assert frame.pixels.flags.c_contiguous
    assert opened(tmp_path, preload=preload).read().pixels.shape[2] == 3


def test_a_picture_with_colours_is_no_grey_cameras(tmp_path):
    write_images(tmp_path, ["a.png"])
    assert cv2.imwrite(str(tmp_path / "b.png"), noise(1)[:, :, 0])
    driver = opened(tmp_path, colour=False, loop=True)
    with pytest.raises(UnreadableImageError, match=r"a\.png: shows colours, expected a grey picture"):
        driver.read()
    assert sources(driver, most=2) == ["b.png", "b.png"]


def test_names_that_are_not_utf8_are_refused(tmp_path):
    write_images(tmp_path, ["a.png"])
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes((tmp_path / "a.png").read_bytes())
    with pytest.raises(CameraError, match=r"1 file names are not UTF-8 .*udcff\.png.*rename"):
        opened(tmp_path)


_REFUSED = """
import sys
from pathlib import Path
from inspectd.capture.driver import CameraError
from inspectd.capture.images import ImagesDriver
from inspectd.capture.stream import FileDriver
from inspectd.config import ImagesCamera, OpenCvCamera
share = Path(sys.argv[1])
images = ImagesDriver(ImagesCamera(name="c", recipe="r", folder=str(share / "parts"), fps=1000.0, loop=True))
video = FileDriver(OpenCvCamera(name="c", recipe="r", source=str(share / "parts/a.mp4")))
images.open(lambda: None)
share.chmod(0)
for call in (images.read, lambda: images.open(lambda: None), lambda: video.open(lambda: None)):
    try:
        call()
    except CameraError as error:
        print(error)
share.chmod(0o700)
images.open(lambda: None)
print(images.read().source)
"""


def test_a_share_that_refuses_is_said_in_words_and_is_read_again_once_it_answers(tmp_path):
    write_images(tmp_path / "share/parts", ["a.png"])
    *refused, source = run_without_rights(_REFUSED, tmp_path / "share").splitlines()
    assert len(refused) == 3
    assert all(": cannot be read: Permission denied" in line for line in refused)
    assert source == "a.png"
