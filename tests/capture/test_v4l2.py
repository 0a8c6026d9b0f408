"""What video devices say of themselves; a kernel that answers as V4L2 lays it down stands in for one."""

import errno
import struct

import pytest

from inspectd.capture.v4l2 import DeviceFormat, VideoDevice, ask_device, video_devices

CAPTURE, METADATA, DEVICE_CAPS = 1, 0x0080_0000, 0x8000_0000
FORMATS = [(b"MJPG", b"Motion-JPEG", [(1920, 1080), (640, 480)]), (b"YUYV", b"YUYV 4:2:2", [])]


def kernel(own):
    def ioctl(_device, request, data):
        number = request & 0xFF
        (index,) = struct.unpack_from("=I", data)
        if number == 0:
            struct.pack_into("=16s32s32sIII", data, 0, b"uvcvideo", b"USB cam", b"usb", 1, DEVICE_CAPS, own)
        elif number == 2 and index < len(FORMATS):
            fourcc, name, _ = FORMATS[index]
            struct.pack_into("=32s4s", data, 12, name, fourcc)
        elif number == 74:
            fourcc = struct.unpack_from("=4s", data, 4)[0]
            sizes = next(sizes for each, _, sizes in FORMATS if each == fourcc)
            if index < len(sizes):
                struct.pack_into("=III", data, 8, 1, *sizes[index])
            elif not sizes and not index:
                struct.pack_into("=I6I", data, 8, 3, 64, 2592, 8, 48, 1944, 8)
            else:
                raise OSError(errno.EINVAL, "Invalid argument")
        else:
            raise OSError(errno.EINVAL, "Invalid argument")

    return ioctl


def test_formats_and_sizes_are_those_of_the_device():
    assert ask_device("/dev/video0", "", 7, kernel(CAPTURE)) == VideoDevice(
        "/dev/video0",
        "",
        "USB cam",
        "uvcvideo",
        [
            DeviceFormat("MJPG", "Motion-JPEG", ["1920x1080", "640x480"]),
            DeviceFormat("YUYV", "YUYV 4:2:2", ["64x48 to 2592x1944"]),
        ],
    )


def test_a_second_node_that_takes_no_pictures_is_left_out():
    assert ask_device("/dev/video1", "", 7, kernel(METADATA)) is None


def test_what_is_no_device_is_said_and_not_left_out(tmp_path):
    (tmp_path / "video3").write_bytes(b"")
    (found,) = video_devices(tmp_path)
    assert found.problem.startswith("is no video device: ")


def test_nothing_is_found_where_nothing_is(tmp_path):
    assert video_devices(tmp_path) == []


@pytest.mark.parametrize("name", ["video0", "video11"])
def test_a_device_has_the_name_that_stays(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "v4l/by-id").mkdir(parents=True)
    (tmp_path / "v4l/by-id/usb-cam").symlink_to(tmp_path / name)
    assert video_devices(tmp_path)[0].stable_path.endswith("v4l/by-id/usb-cam")
