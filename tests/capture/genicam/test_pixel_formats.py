"""Pixels as cameras send them, and as the line works on them."""

import numpy as np
import pytest

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.pixel_formats import FORMATS, format_of, to_picture

RED, GREEN, BLUE = (0, 0, 200), (0, 150, 0), (100, 0, 0)


def test_every_grey_format_keeps_the_upper_eight_bits():
    for bits in (8, 10, 12, 14, 16):
        found = FORMATS[f"Mono{bits}"]
        values = np.array([[0, 1 << (bits - 1), (1 << bits) - 1]], np.uint8 if bits == 8 else "<u2")
        picture = to_picture(values.view(np.uint8).reshape(-1), found, 1, 3)
        assert picture.tolist() == [[[0], [128], [255]]]  # one channel
        assert found.bit_depth == bits


@pytest.mark.parametrize("order", ["RG", "GR", "GB", "BG"])
@pytest.mark.parametrize("colour", [RED, GREEN, BLUE])
def test_bayer_patterns_give_the_colour_that_was_in_front_of_them(order, colour):
    """GenICam's names: RG has red first in the first row, and green beside it."""
    rows = {"RG": "RGGB", "GR": "GRBG", "GB": "GBRG", "BG": "BGGR"}[order]
    mosaic = np.zeros((8, 8), np.uint8)
    for place, letter in enumerate(rows):
        mosaic[place // 2 :: 2, place % 2 :: 2] = colour["BGR".index(letter)]
    picture = to_picture(mosaic.reshape(-1), FORMATS[f"Bayer{order}8"], 8, 8)
    assert picture[4, 4].tolist() == list(colour)


def test_colours_end_as_bgr_whatever_their_order_was():
    pixels = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    assert to_picture(pixels.reshape(-1), FORMATS["BGR8"], 1, 2).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert to_picture(pixels.reshape(-1), FORMATS["RGB8"], 1, 2).tolist() == [[[3, 2, 1], [6, 5, 4]]]


def test_padding_at_the_end_of_rows_is_left_out():
    data = np.array([1, 2, 99, 3, 4, 99], np.uint8)
    assert to_picture(data, FORMATS["Mono8"], 2, 2, padding_bytes=1).tolist() == [[[1], [2]], [[3], [4]]]


def test_an_unknown_format_is_refused_by_its_name():
    with pytest.raises(CameraError, match=r"Mono12Packed \(0x010C0006\).*Mono8"):
        format_of("Mono12Packed", 0x010C0006)


def test_a_frame_that_is_smaller_than_it_says_is_refused():
    with pytest.raises(CameraError, match="sent 5 bytes for 2x3 pixels, expected 6"):
        to_picture(np.zeros(5, np.uint8), FORMATS["Mono8"], 3, 2)


def test_a_value_beyond_the_formats_bits_is_refused():
    with pytest.raises(CameraError, match="more than 10 bits"):
        to_picture(np.array([0x0400], "<u2").view(np.uint8), FORMATS["Mono10"], 1, 1)
