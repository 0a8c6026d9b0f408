"""What is known of a device's driver before its frames are."""

import pytest

from inspectd.capture.device import gives_incomplete_frames


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
