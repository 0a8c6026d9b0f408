"""Where a picture lies against a reference."""

import numpy as np
import pytest
from support.station import HEIGHT, WIDTH, Station

from inspectd.quality.measures import SIDE, small_picture
from inspectd.quality.registration import Reference
from inspectd.quality.trials import displaced

PART = Station(loose_px=0).picture()
REFERENCE = Reference(small_picture(PART).grey)


@pytest.mark.parametrize(
    ("right", "down", "degrees"), [(0, 0, 0), (6, -4, 0), (0, 0, 4), (-9, 7, -5), (20, 12, 2)]
)
def test_shift_and_rotation_are_measured_to_a_fraction_of_a_pixel(right, down, degrees):
    place = REFERENCE.place(small_picture(displaced(PART, right, down, degrees)).grey)
    scale = WIDTH / SIDE
    assert place.shift_x * scale == pytest.approx(right, abs=0.5)
    assert place.shift_y * scale == pytest.approx(down, abs=0.5)
    assert np.degrees(place.rotation) == pytest.approx(degrees, abs=0.3)
    assert place.likeness > 0.85


@pytest.mark.parametrize("picture", [np.zeros((HEIGHT, WIDTH, 3)), np.full((HEIGHT, WIDTH, 3), 128)])
def test_a_picture_that_shows_nothing_is_like_nothing(picture):
    assert REFERENCE.place(small_picture(picture.astype(np.uint8)).grey).likeness == pytest.approx(
        0, abs=1e-6
    )


def test_light_and_contrast_do_not_move_it():
    other = np.clip(PART * 0.4 + 70 + np.linspace(0, 60, WIDTH)[:, None], 0, 255).astype(np.uint8)
    place = REFERENCE.place(small_picture(other).grey)
    assert max(abs(place.shift_x), abs(place.shift_y)) < 0.2
    assert place.likeness > 0.9
