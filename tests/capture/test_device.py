"""What is known of a device's driver before its frames are."""

import numpy as np
import pytest

from inspectd.capture.device import gives_incomplete_frames, picture_of
from inspectd.pictures.depth import PictureError


@pytest.mark.parametrize(
    ("driver", "nodrop", "expected"),
    [
        ("uvcvideo", "1", True),
        ("uvcvideo", "Y", True),
        ("uvcvideo", "0", False),
        ("uvcvideo", None, True),
        ("vivid", "1", False),
    ],
)
@pytest.mark.parametrize("source", [3, "by-id"])
def test_a_driver_that_gives_incomplete_frames_is_told_by_its_parameter(
    tmp_path, driver, nodrop, expected, source
):
    device = tmp_path / "class/video4linux/video3/device"
    device.mkdir(parents=True)
    (tmp_path / "drivers" / driver).mkdir(parents=True)
    (device / "driver").symlink_to(tmp_path / "drivers" / driver)
    if nodrop is not None:
        parameters = tmp_path / "module/uvcvideo/parameters"
        parameters.mkdir(parents=True)
        (parameters / "nodrop").write_text(f"{nodrop}\n")
    (tmp_path / "video3").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "video3")
    named = source if isinstance(source, int) else str(tmp_path / source)
    assert gives_incomplete_frames(named, tmp_path) == expected


def test_grey_pixels_stay_one_channel_and_lose_what_their_settings_say():
    assert picture_of(np.array([[7, 255]], np.uint8), (1, 2), 8).tolist() == [[[7], [255]]]
    words = np.array([[0, 512, 1023]], np.uint16)
    assert picture_of(words, (1, 3), 10).tolist() == [[[0], [128], [255]]]
    assert picture_of(words[:, :, None], (1, 3), 12).tolist() == [[[0], [32], [63]]]


@pytest.mark.parametrize(
    ("pixels", "bit_depth", "said"),
    [
        (np.array([[1023]], np.uint16), 8, r"16 bits per channel \(largest value 1023\): set how many"),
        (np.array([[4095]], np.uint16), 10, "the value 4095, which is more than 10 bits"),
        (np.array([[255]], np.uint8), 12, "8 bits per channel, expected words of 16"),
        (np.zeros((4, 4, 2), np.uint8), 8, "2 channels, expected 3"),
    ],
)
def test_a_depth_that_contradicts_the_settings_is_refused(pixels, bit_depth, said):
    with pytest.raises(PictureError, match=said):
        picture_of(pixels, pixels.shape[:2], bit_depth)


def test_a_format_that_opencv_does_not_know_is_refused():
    with pytest.raises(
        PictureError, match=r"is \(1, 24\) pixels, and the device says \(3.0, 4.0\); name anot"
    ):
        picture_of(np.zeros((1, 24), np.uint8), (3.0, 4.0), 8)
