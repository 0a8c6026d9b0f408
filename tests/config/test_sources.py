"""What a camera's source may be shown as, and what it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd import config
from inspectd.config import OpenCvCamera, is_device, masked
from inspectd.errors import ConfigError

SECRET = "S3cretPw"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (0, "device 0"),
        ("/data/v.avi", "/data/v.avi"),
        ("/dev/v4l/by-id/usb-046d_C920-video-index0", "/dev/v4l/by-id/usb-046d_C920-video-index0"),
        ("rtsp://cam/stream", "rtsp://cam"),
        ("rtsp://[fe80::1]:554/stream", "rtsp://[fe80::1]:554"),
        (f"rtsp://admin:{SECRET}@cam:554/stream", "rtsp://cam:554"),
        (f"rtsp://admin:se@{SECRET}@cam:554/stream?x=1", "rtsp://cam:554"),
        (f"http://cam/videostream.cgi?user=admin&pwd={SECRET}", "http://cam"),
        (f"rtsp://cam:554/user=admin&password={SECRET}&channel=1", "rtsp://cam:554"),
        # Where the host is not certain, it may be a part of the password.
        (f"rtsp://admin:{SECRET}/1@cam/stream", "rtsp://***"),
        (f"rtsp://admin:1234/{SECRET}@cam/stream", "rtsp://***"),
        (f"rtsp://admin:x@y/{SECRET}@cam/stream", "rtsp://***"),
        (f"rtsp://admin:a?{SECRET}#@cam/stream", "rtsp://***"),
        (f"rtsp://cam/user=admin&password=x@{SECRET}.de/", "rtsp://***"),
        (f"rtsp://admin:{SECRET}", "rtsp://***"),
        (f"rtspsrc location=rtsp://admin:{SECRET}@cam/ ! appsink", "***"),
        (f"/etc/inspectd/rtsp:/admin:{SECRET}@cam/stream", "***"),
        (f"admin:{SECRET}@cam/stream", "***"),
    ],
)
def test_of_a_url_scheme_host_and_port_are_shown_and_nothing_else(source, shown):
    assert masked(source) == shown
    assert SECRET not in shown


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8))
def test_no_password_before_the_host_is_shown_whatever_is_in_it(more):
    assert SECRET not in masked(f"rtsp://admin:{more}{SECRET}{more}@cam/stream{more}")


@pytest.mark.parametrize(
    "text",
    [
        '[cameras]\nkind = "opencv"\nsource = "{url}"\n',
        '[[cameras]]\nkind = "{url}"\n',
        '[[cameras]]\nkind = "opencv"\nname = "{url}"\nrecipe = "{url}"\nsource = ["{url}"]\n',
        '[[cameras]]\nkind = "opencv"\nsource = {{ url = "{url}" }}\n',
        'cameras = ["{url}", {{ source = "{url}" }}]\n',
        '[[recipes]]\nname = "{url}"\n[[recipes]]\nname = "{url}"\nbank = 3\n[publish]\nsync_tcp = "{url}"\n',
    ],
)
def test_no_problem_of_a_file_shows_a_password(tmp_path, text):
    file = tmp_path / "line.toml"
    file.write_text(text.format(url=f"rtsp://admin:{SECRET}/1@cam/stream"))
    with pytest.raises(ConfigError) as raised:
        config.load(file)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "device", "live"),
    [
        (0, True, True),
        ("/dev/null", True, True),  # stands for any character device
        ("/dev/v4l/by-id/usb-046d_C920-video-index0", True, True),
        ("/dev/video7", True, True),
        ("/dev/shm/film.avi", False, False),
        ("film.avi", False, False),
        ("/data/\0", False, False),
        ("rtsp://cam/stream", False, True),
    ],
)
def test_a_device_is_known_by_its_index_or_its_path(source, device, live):
    camera = OpenCvCamera(name="c", recipe="r", source=source)
    assert (is_device(source), camera.is_live) == (device, live)


def test_a_link_to_a_device_is_a_device(tmp_path):
    (tmp_path / "top").symlink_to("/dev/null")
    assert is_device(str(tmp_path / "top"))
