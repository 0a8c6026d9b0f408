"""The video devices of this machine and the pictures they offer, as the kernel has them (V4L2).

Reads only what a device says of itself: none is opened for pictures, so that a line that uses one goes on.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from inspectd.text import printable

_QUERYCAP: Final = 0x80685600  # VIDIOC_QUERYCAP
_ENUM_FMT: Final = 0xC0405602
_ENUM_FRAMESIZES: Final = 0xC02C564A
_CAPABILITY: Final = struct.Struct("=16s32s32sIII12x")
_FORMAT: Final = struct.Struct("=III32sI16x")
_FRAMESIZE: Final = struct.Struct("=III6I8x")
_DEVICE_CAPS: Final = 0x8000_0000
_CAPTURE: Final = 0x0000_0001  # V4L2_CAP_VIDEO_CAPTURE
_DISCRETE: Final = 1
_MOST: Final = 64
"""Formats, and sizes of one: more are not asked for."""

Ioctl = Callable[[int, int, bytearray], object]


class DeviceFormat(msgspec.Struct, frozen=True):
    """A pixel format of a device, and its sizes."""

    fourcc: str
    name: str
    sizes: list[str]
    """Such as `1920x1080`, or `64x64 to 2592x1944` where any size between is possible."""


class VideoDevice(msgspec.Struct, frozen=True):
    """A device that takes pictures."""

    path: str
    stable_path: str
    """One below /dev/v4l/by-id, which stays the same when devices are plugged in another order; or empty."""
    name: str
    driver: str
    formats: list[DeviceFormat]
    problem: str = ""
    """Why it did not say what it is; else empty."""


def video_devices(folder: Path = Path("/dev")) -> list[VideoDevice]:
    """The devices that take pictures, and those that do not say what they are.

    Args:
        folder: where device files lie.
    """
    stable = {link.resolve(): str(link) for link in sorted(folder.glob("v4l/by-id/*"))}
    found = []
    for path in sorted(folder.glob("video*"), key=lambda path: (len(path.name), path.name)):
        at = stable.get(path.resolve(), "")
        try:
            device = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            found.append(VideoDevice(str(path), at, "", "", [], f"cannot be opened: {error.strerror}"))
            continue
        try:
            asked = ask_device(str(path), at, device)
        except OSError as error:
            asked = VideoDevice(str(path), at, "", "", [], f"is no video device: {error.strerror}")
        finally:
            os.close(device)
        found += [asked] if asked is not None else []
    return found


def ask_device(path: str, stable_path: str, device: int, ioctl: Ioctl = fcntl.ioctl) -> VideoDevice | None:
    """What a device says of itself; None where it takes no pictures (a second node, an output).

    Args:
        path: of its file.
        stable_path: see `VideoDevice`.
        device: open descriptor.
        ioctl: as the kernel's.

    Raises:
        OSError: it does not answer.
    """
    data = bytearray(_CAPABILITY.size)
    ioctl(device, _QUERYCAP, data)
    driver, card, _, _, capabilities, own = _CAPABILITY.unpack(data)
    if not (own if capabilities & _DEVICE_CAPS else capabilities) & _CAPTURE:
        return None
    formats = list(_formats(device, ioctl))
    return VideoDevice(path, stable_path, _text(card), _text(driver), formats)


def _formats(device: int, ioctl: Ioctl) -> Iterator[DeviceFormat]:
    for index in range(_MOST):
        data = bytearray(_FORMAT.pack(index, _CAPTURE, 0, bytes(32), 0))
        try:
            ioctl(device, _ENUM_FMT, data)
        except OSError:
            return  # there is no format of that number: those before were all
        _, _, _, name, fourcc = _FORMAT.unpack(data)
        text = printable(fourcc.to_bytes(4, "little").decode("ascii", errors="replace"))
        yield DeviceFormat(text, _text(name), list(_sizes(device, fourcc, ioctl)))


def _sizes(device: int, fourcc: int, ioctl: Ioctl) -> Iterator[str]:
    for index in range(_MOST):
        data = bytearray(_FRAMESIZE.pack(index, fourcc, 0, *[0] * 6))
        try:
            ioctl(device, _ENUM_FRAMESIZES, data)
        except OSError:
            return  # as above
        _, _, kind, *numbers = _FRAMESIZE.unpack(data)
        if kind == _DISCRETE:
            yield f"{numbers[0]}x{numbers[1]}"
            continue
        least_width, most_width, _, least_height, most_height, _ = numbers
        yield f"{least_width}x{least_height} to {most_width}x{most_height}"
        return


def _text(field: bytes) -> str:
    return printable(field.split(b"\0", 1)[0].decode("utf-8", errors="replace").strip())
