"""The judged area of a bank, drawn as polygons."""

import json

import numpy as np
import pytest

from inspectd.bank.polygons import JudgedArea, read_polygons
from inspectd.errors import InputError

LEFT_HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


def polygons(tmp_path, points, name="area.json", **more):
    path = tmp_path / name
    path.write_text(json.dumps({"unit": "shares", "polygons": {"disc": points}} | more))
    return read_polygons(path)


def test_what_lies_in_a_polygon_is_judged_and_what_is_excluded_is_not(tmp_path):
    hole = polygons(tmp_path, [[0, 0.5], [1, 0.5], [1, 1], [0, 1]], "hole.json")
    judged = JudgedArea(polygons(tmp_path, LEFT_HALF), hole).patches(None, 8, 12)
    expected = np.zeros((8, 12), bool)
    expected[:4, :6] = True
    np.testing.assert_array_equal(judged, expected)
    np.testing.assert_array_equal(
        JudgedArea(None, hole).patches(None, 8, 12), np.arange(8)[:, None] < [4] * 12
    )


def test_what_is_excluded_beside_the_judged_area_takes_nothing_of_it(tmp_path):
    judged = polygons(tmp_path, [[0, 0], [0.46, 0], [0.46, 1], [0, 1]])
    beyond = polygons(tmp_path, [[0.465, 0], [1, 0], [1, 1], [0.465, 1]], "beyond.json")
    both = JudgedArea(judged, beyond).patches(None, 4, 10)
    np.testing.assert_array_equal(both, JudgedArea(judged, None).patches(None, 4, 10))
    assert both[0].tolist() == [True] * 5 + [False] * 5


def test_polygons_are_of_the_whole_picture_wherever_the_region_lies(tmp_path):
    judged = JudgedArea(polygons(tmp_path, LEFT_HALF), None).patches((0.25, 0, 0.5, 1), 4, 8)
    assert judged.sum(axis=1).tolist() == [4] * 4
    with pytest.raises(InputError, match=r"polygons\.'disc': lies outside of the region"):
        JudgedArea(polygons(tmp_path, LEFT_HALF), None).patches((0.6, 0, 0.4, 1), 4, 8)


def test_pixels_are_of_pictures_of_one_size(tmp_path):
    points = [[0, 0], [320, 0], [320, 480], [0, 480]]
    area = JudgedArea(polygons(tmp_path, points, unit="pixels", width=640, height=480), None)
    assert area.patches(None, 4, 8).sum() == 16
    area.refuse_size(480, 640)
    with pytest.raises(InputError, match="was drawn on pictures of 640x480, an image is 800x600"):
        area.refuse_size(600, 800)


def test_a_slanted_side_takes_the_patches_of_which_half_lies_inside(tmp_path):
    judged = JudgedArea(polygons(tmp_path, [[0, 0], [1, 0], [0, 1]]), None).patches(None, 16, 16)
    row, column = np.indices((16, 16))
    assert judged[row + column < 15].all()
    assert not judged[row + column > 15].any()


def test_a_ring_that_is_closed_and_a_hole_that_a_bridge_leads_to_are_polygons(tmp_path):
    once = JudgedArea(polygons(tmp_path, LEFT_HALF), None).patches(None, 8, 16)
    closed = JudgedArea(polygons(tmp_path, [*LEFT_HALF, [0, 0]]), None).patches(None, 8, 16)
    np.testing.assert_array_equal(closed, once)
    hole = [[0, 0.25], [0.125, 0.25], [0.125, 0.75], [0.25, 0.75], [0.25, 0.25], [0.125, 0.25], [0, 0.25]]
    bridged = JudgedArea(polygons(tmp_path, [*LEFT_HALF, *hole]), None).patches(None, 8, 16)
    once[2:6, 2:4] = False
    np.testing.assert_array_equal(bridged, once)


@pytest.mark.parametrize(
    ("points", "more", "said"),
    [
        ([[0, 0], [1, 1], [1, 0], [0, 1]], {}, "crosses itself"),
        (LEFT_HALF + LEFT_HALF, {}, "goes round some place more than once"),
        ([*LEFT_HALF, [0, 0], [0.3, 0.1], [0.3, 0.9]], {}, "goes round some place more than once"),
        ([[0, 0], [0.5, 0.5], [1, 1]], {}, "has no area"),
        ([[0, 0], [1.5, 0], [1, 1]], {}, "a point outside of the picture"),
        ([[0, 0], [1, 0]], {}, "length >= 3"),
        (LEFT_HALF, {"unit": "pixels"}, "expected width and height"),
        (LEFT_HALF, {"width": 3}, "expected width and height"),
        (LEFT_HALF, {"unit": "mm"}, "expected such as"),
        (LEFT_HALF, {"colour": 1}, "unknown field `colour`"),
    ],
)
def test_what_is_no_polygon_is_refused_with_its_file(tmp_path, points, more, said):
    with pytest.raises(InputError, match=rf"area\.json: .*{said}"):
        polygons(tmp_path, points, **more)
