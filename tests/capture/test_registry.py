import pytest
from support.pictures import write_video

from inspectd.capture.driver import CameraError
from inspectd.capture.registry import make_driver
from inspectd.config import OpenCvCamera


def opened(source, **settings):
    driver = make_driver(OpenCvCamera(name="c", recipe="r", source=source, **settings))
    driver.open(lambda: None)
    return driver


def test_a_password_is_not_in_the_error_of_a_camera_that_does_not_open():
    with pytest.raises(CameraError) as caught:
        opened("rtsp://user:secret@127.0.0.1:9/none", open_timeout_ms=100)
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)


def test_a_file_that_is_no_video_does_not_open(tmp_path):
    path = tmp_path / "v.avi"
    path.write_text("no video")
    with pytest.raises(CameraError, match=r"v\.avi: cannot be opened"):
        opened(str(path))


def test_a_device_that_is_not_there_does_not_open():
    with pytest.raises(CameraError, match="device 99"):
        opened(99)


def test_a_loop_starts_the_file_again(tmp_path):
    write_video(tmp_path / "v.avi", frames=3)
    driver = opened(str(tmp_path / "v.avi"), loop=True, fps=1000)
    assert all(driver.read() is not None for _ in range(8))
    driver.close()


def test_a_file_is_replayed_at_its_own_rate_unless_told_otherwise(tmp_path):
    write_video(tmp_path / "v.avi", frames=3, fps=2.0)
    for fps, least, most in ((None, 0.3, 0.5), (10.0, 0.02, 0.1)):
        driver = opened(str(tmp_path / "v.avi"), fps=fps)
        driver.read()
        assert least < driver.due_seconds() <= most
        driver.close()
