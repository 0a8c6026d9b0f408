"""A camera at this machine (V4L2), read through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.capture.camera_settings import refuse_another_value
from inspectd.capture.driver import CameraDriver, CameraError, CameraSettingsError, Facts, Frame
from inspectd.pictures.depth import PictureError, to_eight_bits
from inspectd.records import CameraSettings, Quality
from inspectd.video import decode_jpeg

_BELIEVABLE_AGE_MS: Final = 60_000.0
_JPEG_FORMATS: Final = frozenset({b"MJPG", b"JPEG"})
_GREY_FORMATS: Final = frozenset({b"GREY", b"Y10 ", b"Y12 ", b"Y16 "})
"""Of one channel; OpenCV would make three of it, and drop bits by rules of its own."""
_V4L2_UNIT_US: Final = 100
"""V4L2_CID_EXPOSURE_ABSOLUTE, which CAP_PROP_EXPOSURE is."""
_MANUAL: Final = 1
"""V4L2_EXPOSURE_MANUAL."""
_NO_CONTROL: Final = -1
_SYSTEM: Final = Path("/sys")


class DeviceDriver(CameraDriver):
    """Reads a device, whose driver stamps each frame with the kernel's clock when it was taken.

    A JPEG is taken from the device as it is, for OpenCV completes one that was cut. Of other formats OpenCV
    does not report how much of a frame came: the rest is that of a frame before, and it is for the kernel's
    driver to keep such a frame back.
    """

    def __init__(self, settings: config.OpenCvCamera) -> None:
        """Read from `settings.source`, an index or a path such as /dev/v4l/by-id/..."""
        self._settings = settings
        self._name = config.masked(settings.source)
        self._capture: cv2.VideoCapture | None = None
        self._is_jpeg = False
        self._shape: tuple[int, ...] | None = None

    def open(self, beat: Callable[[], None]) -> None:
        """Open the device.

        Raises:
            CameraError: it does not open, or its driver gives frames that did not come whole.
        """
        beat()
        self.close()
        capture = cv2.VideoCapture(self._settings.source, cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"{self._name}: cannot be opened; is it connected, and not in use?")
        wished = self._settings.fourcc.encode() if self._settings.fourcc is not None else None
        wishes = (
            (cv2.CAP_PROP_FOURCC, int.from_bytes(wished, "little") if wished is not None else None),
            (cv2.CAP_PROP_FRAME_WIDTH, self._settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height),
            (cv2.CAP_PROP_FPS, self._settings.fps),
        )
        for prop, value in wishes:
            if value is not None:
                capture.set(prop, value)
        fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
        self._is_jpeg = fourcc in _JPEG_FORMATS
        refusal = _refusal(fourcc, wished, self._settings.source) if not self._is_jpeg else None
        if refusal is not None:
            capture.release()
            raise CameraError(f"{self._name}: {refusal}")
        if fourcc in _JPEG_FORMATS | _GREY_FORMATS:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self._capture = capture

    def apply(self, settings: CameraSettings) -> None:
        """Set the exposure time, with automatic exposure off; see `set_exposure`.

        Raises:
            CameraSettingsError: the device is closed, has no such control, or answers another value.
        """
        if settings.gain_db is not None:
            raise CameraSettingsError("gain_db cannot be set of a device: its gain has no unit")
        if settings.exposure_us is None:
            return
        if self._capture is None:
            raise CameraSettingsError("it is not open")
        set_exposure(self._capture, settings.exposure_us)

    def read(self) -> Frame | None:
        """The next frame.

        Raises:
            CameraError: it gives none, or its driver does not date it.
        """
        if self._capture is None or not self._capture.grab():
            raise CameraError(f"{self._name}: delivers no frame; is it switched on and connected?")
        now_ns, utc_ns = time.monotonic_ns(), time.time_ns()
        age_ms = now_ns / 1e6 - self._capture.get(cv2.CAP_PROP_POS_MSEC)
        if not 0 <= age_ms < _BELIEVABLE_AGE_MS:
            raise CameraError(
                f"{self._name}: its driver does not date frames by the kernel's clock, so no part can be "
                "judged from them; use another driver or camera"
            )
        taken, pixels = self._capture.retrieve()
        if not taken:
            raise CameraError(f"{self._name}: delivered a frame that cannot be decoded")
        age_ns = int(age_ms * 1e6)
        try:
            whole = self._picture(self._capture, pixels)
        except PictureError as error:
            raise CameraError(f"{self._name}: gives a frame that {error}") from error
        if whole is not None:
            self._shape = whole.shape
        elif self._shape is None:
            raise CameraError(f"{self._name}: delivers no picture that can be decoded")
        return Frame(
            np.zeros(self._shape, np.uint8) if whole is None else whole,
            now_ns - age_ns,
            utc_ns - age_ns,
            age_ms,
            flaw=Quality.PARTIAL if whole is None else Quality.OK,
            bit_depth=self._settings.bit_depth,
        )

    def _picture(self, capture: cv2.VideoCapture, pixels: NDArray[Any]) -> NDArray[np.uint8] | None:
        """The picture in what was retrieved; None: a JPEG that did not come whole."""
        size = capture.get(cv2.CAP_PROP_FRAME_HEIGHT), capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        if self._is_jpeg:
            decoded = decode_jpeg(pixels.tobytes())
            if decoded is None:
                return None
            pixels, size = decoded, decoded.shape[:2]
        return picture_of(pixels, size, self._settings.bit_depth)

    def facts(self) -> Facts:
        """The format and rate that it was found to have, whatever was asked for."""
        if self._capture is None:
            return {}
        fourcc = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
        return {
            "pixel_format": fourcc.decode(errors="replace"),
            "frames_per_second": round(self._capture.get(cv2.CAP_PROP_FPS), 3),
        }

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class V4l2Controls(Protocol):
    """The controls of a device as `cv2.VideoCapture` has them."""

    def set(self, prop: int, value: float, /) -> bool:
        """Ask for a value; what this returns says nothing of what the device made of it."""

    def get(self, prop: int, /) -> float:
        """The value that the device has; -1 where it has no such control."""


def set_exposure(controls: V4l2Controls, exposure_us: float) -> None:
    """Have a device expose for that long, and ask it whether it does.

    Args:
        controls: of the device.
        exposure_us: microseconds, a multiple of 100.

    Raises:
        CameraSettingsError: automatic exposure stays on, there is no such control, or it has another value.
    """
    # OpenCV can be told from outside to give shares of a control's range instead of its value.
    controls.set(cv2.CAP_PROP_MODE, 0)
    controls.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL)
    mode = controls.get(cv2.CAP_PROP_AUTO_EXPOSURE)
    if mode not in {_MANUAL, _NO_CONTROL}:
        raise CameraSettingsError(
            f"automatic exposure stays on (auto_exposure is {mode:g}, expected {_MANUAL}, manual); "
            "`v4l2-ctl --list-ctrls-menus` shows what this device has"
        )
    controls.set(cv2.CAP_PROP_EXPOSURE, exposure_us / _V4L2_UNIT_US)
    answered = controls.get(cv2.CAP_PROP_EXPOSURE)
    if answered < 0:
        raise CameraSettingsError("has no control exposure_time_absolute, so no exposure time can be set")
    refuse_another_value("exposure_us", exposure_us, answered * _V4L2_UNIT_US)


def _refusal(fourcc: bytes, wished: bytes | None, source: int | str) -> str | None:
    """Reason for not reading a device in this format, which is not JPEG; None if it is read."""
    if wished not in {None, fourcc}:
        given = fourcc.decode(errors="replace")
        return (
            f'delivers frames as "{given}", expected "{wished.decode()}"; leave out `fourcc`, or name another'
        )
    if gives_incomplete_frames(source):
        return (
            "its driver delivers incomplete frames, filled up from earlier ones; set `fourcc` to "
            '"MJPG", or have the driver drop them if it can ("options uvcvideo nodrop=0" in '
            "/etc/modprobe.d/uvcvideo.conf)"
        )
    return None


def gives_incomplete_frames(source: int | str, system: Path = _SYSTEM) -> bool:
    """True where the kernel's driver delivers frames of which a part did not come.

    That of USB cameras does unless its parameter `nodrop` is 0. Kernels that have no such parameter any more
    always do.

    Args:
        source: a device's number, or the path of its file.
        system: where sysfs is.
    """
    name = f"video{source}" if isinstance(source, int) else Path(source).resolve().name
    driver = system / "class" / "video4linux" / name / "device" / "driver"
    nodrop = system / "module" / "uvcvideo" / "parameters" / "nodrop"
    if driver.resolve().name != "uvcvideo":
        return False
    return not nodrop.is_file() or nodrop.read_text().strip() not in {"0", "N"}


def picture_of(pixels: NDArray[Any], size: tuple[float, float], bit_depth: int) -> NDArray[np.uint8]:
    """What a device gave, as a frame's pixels.

    Args:
        pixels: `(H, W)`, `(H, W, 1)` or `(H, W, 3)`, uint8 or uint16.
        size: H and W that the device says.
        bit_depth: bits a channel that its settings say.

    Returns:
        `(H, W, 3) uint8 BGR` or `(H, W, 1)`.

    Raises:
        PictureError: it has another size, other channels or another depth.
    """
    if pixels.shape[:2] != size:  # of a format that OpenCV does not know it gives the bytes, as one row
        raise PictureError(f"is {pixels.shape[:2]} pixels, and the device says {size}; name another fourcc")
    picture = to_eight_bits(pixels.reshape(*pixels.shape[:2], -1), bit_depth)
    if picture.shape[2] not in {1, 3}:
        raise PictureError(f"has {picture.shape[2]} channels, expected 3 (BGR) or 1 (grey)")
    return picture
