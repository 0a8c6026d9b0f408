"""Reduces pictures of more than 8 bits per channel to 8, by one rule for files and devices."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError

EIGHT_BITS: Final = 8
MOST_BITS: Final = 16


class PictureError(InputError):
    """A picture cannot be used; the message gives the cause, and the caller names the picture."""


def to_eight_bits(pixels: NDArray[Any], bit_depth: int) -> NDArray[np.uint8]:
    """Drop the `bit_depth - 8` lowest bits: the sensor's whole range stays the picture's.

    The pixels do not show how many bits of a 16-bit word a sensor uses: a dark picture of 12 bits looks like
    one of 10. So it is a setting, and a picture that contradicts it is refused.

    Args:
        pixels: of any shape; uint8 if `bit_depth` is 8, else uint16 with the value in the lowest bits.
        bit_depth: bits per channel that the sensor delivers, 8 to 16.

    Raises:
        PictureError: the pixels are of another type, or have values that need more bits.
    """
    if pixels.dtype == np.uint8 and bit_depth == EIGHT_BITS:
        return np.asarray(pixels, np.uint8)
    if pixels.dtype == np.uint8:
        raise PictureError(f"has 8 bits per channel, expected words of 16 (bit_depth = {bit_depth})")
    if pixels.dtype != np.uint16:
        raise PictureError(f"holds {pixels.dtype} values, expected whole numbers of 8 or 16 bits per channel")
    largest = int(pixels.max(initial=0))
    if bit_depth == EIGHT_BITS:
        fewest = max(EIGHT_BITS + 1, largest.bit_length())
        raise PictureError(
            f"has 16 bits per channel (largest value {largest}): set how many of them its camera uses, "
            f"{fewest} to {MOST_BITS} (bit_depth or pixel_format of the camera, --bit-depth of the command)"
        )
    if largest >> bit_depth:
        raise PictureError(
            f"holds the value {largest}, which is more than {bit_depth} bits (bit_depth = {bit_depth}); "
            f"if the camera fills the upper bits of a word, set bit_depth = {MOST_BITS}"
        )
    return (pixels >> (bit_depth - EIGHT_BITS)).astype(np.uint8)
