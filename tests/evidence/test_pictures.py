from __future__ import annotations

import cv2
import numpy as np
import pytest

from inspectd.errors import InputError
from inspectd.evidence import pictures
from inspectd.pictures.channels import as_bgr


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_of_a_frame_comes_back(tmp_path, channels):
    pixels = np.random.default_rng(1).integers(0, 256, (37, 53, channels), np.uint8)
    (tmp_path / "frame.png").write_bytes(pictures.encode_frame(pixels))
    assert np.array_equal(pictures.read_frame(tmp_path / "frame.png"), pixels)


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_a_heatmap_comes_back_as_well_as_float16_holds_it(tmp_path, scale):
    scores = (np.random.default_rng(1).normal(3, 1, (32, 20)) * scale).astype(np.float16)
    data, picture = pictures.encode_heatmap(scores)
    (tmp_path / "heatmap.png").write_bytes(data)
    found = pictures.read_heatmap(tmp_path / "heatmap.png", picture)
    assert np.abs(found - scores.astype(np.float32)).max() <= picture.step
    assert picture.step < float(np.spacing(np.abs(scores).max()))


def test_a_heatmap_of_one_value_comes_back(tmp_path):
    data, picture = pictures.encode_heatmap(np.full((2, 3), 7, np.float16))
    (tmp_path / "heatmap.png").write_bytes(data)
    assert (pictures.read_heatmap(tmp_path / "heatmap.png", picture) == 7).all()


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_what_is_no_image_is_said_so(tmp_path, content):
    if content is not None:
        (tmp_path / "frame.png").write_bytes(content)
    with pytest.raises(
        InputError, match=r"frame\.png: (is empty|is not a picture|cannot be read: No such file)"
    ):
        pictures.read_frame(tmp_path / "frame.png")


def test_a_picture_of_another_kind_is_no_frame(tmp_path):
    cv2.imwrite(str(tmp_path / "frame.png"), np.zeros((4, 4), np.uint16))
    with pytest.raises(InputError, match=r"has uint16 pixels \(4, 4\), expected 8 bits, grey or colour"):
        pictures.read_frame(tmp_path / "frame.png")


def test_a_grey_frame_is_shown_like_one_of_three_equal_channels():
    grey = np.random.default_rng(1).integers(0, 256, (37, 53, 1), np.uint8)
    heatmap = np.random.default_rng(2).random((4, 4))
    shown = [pictures.explanation(frame, heatmap, (0.2, 0.8), ["a"]) for frame in (grey, as_bgr(grey))]
    assert np.array_equal(*shown)
