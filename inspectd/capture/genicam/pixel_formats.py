"""Pixel formats of cameras, by name, and how each becomes the 8-bit grey or BGR that the line works on.

Numbers: GenICam Pixel Format Naming Convention (PFNC). A format that is not in the table is refused by name.
"""

from __future__ import annotations

from typing import Final, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.capture.driver import CameraError
from inspectd.config import PixelFormatName
from inspectd.pictures.depth import PictureError, to_eight_bits


class PixelFormat(NamedTuple):
    """One format.

    Attributes:
        code: PFNC number.
        bit_depth: bits a channel that the sensor delivered.
        channels: values for each pixel on the wire.
        to_bgr: OpenCV's conversion of `(H, W)` or `(H, W, 3)` uint8 to BGR; None: it is BGR, or stays grey.
    """

    code: int
    bit_depth: int
    channels: int
    to_bgr: int | None

    @property
    def bytes_a_pixel(self) -> int:
        """Bytes that a pixel takes on the wire."""
        return self.channels * (1 if self.bit_depth == 8 else 2)

    @property
    def picture_channels(self) -> int:
        """Channels of a picture that is made of it."""
        return self.channels if self.to_bgr is None else 3


# GenICam names a Bayer pattern by the first two pixels of the first row, OpenCV by the second and third pixel
# of the second row: what one calls RG the other calls BG.
FORMATS: Final[dict[PixelFormatName, PixelFormat]] = {
    "Mono8": PixelFormat(0x01080001, 8, 1, None),
    "Mono10": PixelFormat(0x01100003, 10, 1, None),
    "Mono12": PixelFormat(0x01100005, 12, 1, None),
    "Mono14": PixelFormat(0x01100025, 14, 1, None),
    "Mono16": PixelFormat(0x01100007, 16, 1, None),
    "BayerGR8": PixelFormat(0x01080008, 8, 1, cv2.COLOR_BayerGB2BGR),
    "BayerRG8": PixelFormat(0x01080009, 8, 1, cv2.COLOR_BayerBG2BGR),
    "BayerGB8": PixelFormat(0x0108000A, 8, 1, cv2.COLOR_BayerGR2BGR),
    "BayerBG8": PixelFormat(0x0108000B, 8, 1, cv2.COLOR_BayerRG2BGR),
    "RGB8": PixelFormat(0x02180014, 8, 3, cv2.COLOR_RGB2BGR),
    "BGR8": PixelFormat(0x02180015, 8, 3, None),
}
BY_CODE: Final = {found.code: found for found in FORMATS.values()}


def format_of(name: str, code: int) -> PixelFormat:
    """The format that a camera says it sends.

    Args:
        name: as the camera calls it, for the message.
        code: PFNC number.

    Raises:
        CameraError: there is no conversion for it.
    """
    found = BY_CODE.get(code)
    if found is None:
        raise CameraError(
            f"sends pixels as {name} (0x{code:08X}), for which there is no conversion; set pixel_format to "
            f"one that it has of: {', '.join(get_args(PixelFormatName))}"
        )
    return found


def to_picture(
    data: NDArray[np.uint8], pixel_format: PixelFormat, height: int, width: int, padding_bytes: int = 0
) -> NDArray[np.uint8]:
    """A frame's bytes as a picture of its own memory.

    Args:
        data: `(N,) uint8`, as they came; more than the picture's are left out.
        pixel_format: what they are.
        height: rows.
        width: pixels a row.
        padding_bytes: at the end of each row.

    Returns:
        `(H, W, 3) uint8 BGR`, or `(H, W, 1)` of a grey format.

    Raises:
        CameraError: too few bytes came, or values have more bits than the format has.
    """
    row_bytes = width * pixel_format.bytes_a_pixel + padding_bytes
    if data.size < height * row_bytes:
        raise CameraError(
            f"sent {data.size} bytes for {width}x{height} pixels, expected {height * row_bytes}; is its "
            "firmware up to date?"
        )
    rows = data[: height * row_bytes].reshape(height, row_bytes)[:, : width * pixel_format.bytes_a_pixel]
    if pixel_format.bit_depth > 8:
        words = np.ascontiguousarray(rows).view("<u2")
        try:
            rows = to_eight_bits(words, pixel_format.bit_depth)
        except PictureError as error:
            raise CameraError(f"sent a frame that {error}, or pixel_format to Mono16") from error
    rows = rows.reshape(height, width, pixel_format.channels)
    if pixel_format.to_bgr is None:
        return rows.copy()
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rows), pixel_format.to_bgr), np.uint8)
