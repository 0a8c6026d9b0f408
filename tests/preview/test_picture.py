"""Frames made small: halved as often as it takes, grey stays grey, and never too large to be handed on."""

from __future__ import annotations

import numpy as np
import pytest

from inspectd.pictures.reading import decode_levels
from inspectd.preview.picture import MAX_JPEG_BYTES, halved, small_jpeg


def shape_of(jpeg: bytes) -> tuple[int, ...]:
    return decode_levels(np.frombuffer(jpeg, np.uint8)).shape


@pytest.mark.parametrize(
    ("shape", "small"),
    [
        ((2048, 2448, 3), (512, 612, 3)),
        ((800, 800, 3), (800, 800, 3)),
        ((801, 801, 1), (400, 400)),
        ((1, 5000, 3), (1, 625, 3)),
        ((20_000, 1000, 1), (1250, 62)),
        ((1, 1, 1), (1, 1)),
    ],
)
def test_halved_until_it_is_small(shape, small):
    pixels = np.full(shape, 90, np.uint8)
    jpeg, height, width = small_jpeg(pixels, 800, 80)
    assert shape_of(jpeg) == small
    assert (height, width) == small[:2]
    assert np.all(abs(decode_levels(np.frombuffer(jpeg, np.uint8)).astype(int) - 90) <= 1)


def test_each_pixel_is_the_mean_of_four_and_a_part_of_a_frame_will_do():
    frame = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    part = frame[1:6, 2:9]
    expected = (part[:4, :6].reshape(2, 2, 3, 2, 3).astype(int).sum(axis=(1, 3)) + 2) // 4
    assert np.array_equal(halved(part), expected)
    assert halved(part[:, :, :1]).shape == (2, 3, 1)


def test_what_no_jpeg_makes_small_is_halved_again():
    noise = np.random.default_rng(1).integers(0, 256, (800, 800, 3), np.uint8)
    jpeg, height, width = small_jpeg(noise, 800, 100)
    assert len(jpeg) <= MAX_JPEG_BYTES
    assert (height, width) == shape_of(jpeg)[:2]
    assert height in {200, 400}
