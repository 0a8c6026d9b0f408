import numpy as np
import pytest

from inspectd.capture.driver import Frame
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.capture.synthetic.parts import SyntheticLine
from inspectd.config import QualityGate, SyntheticCamera
from inspectd.records import Quality

DEFECTS = SyntheticCamera(name="c", recipe="r").defects


def line(**settings):
    return SyntheticLine(SyntheticCamera(**({"name": "c", "recipe": "r"} | settings)))


def grey(pixels):
    return float(pixels.mean())


def test_a_part_of_a_seed_is_the_same_picture_whatever_came_before_and_at_any_rate():
    first, other = line(fps=1, defect_rate=0.5), line(fps=1000, defect_rate=0.5)
    for number in range(1, 8):
        other.show(number)
    shown, again = first.show(5), other.show(5)
    np.testing.assert_array_equal(shown.pixels, again.pixels)
    assert shown.source == again.source
    assert not np.array_equal(shown.pixels, line(seed=2, defect_rate=0.5).show(5).pixels)


def test_parts_differ_from_each_other_and_none_is_flawed():
    gate, shows, seen = FrameGate(QualityGate()), line(gap_rate=0.2, width=320, height=240), set()
    for number in range(1, 151):
        shown = shows.show(number)
        digest = frame_digest(shown.pixels).digest()
        frame = Frame(shown.pixels, 0, 0, source=shown.source, never_repeats=True)
        assert gate.judge(frame, digest) is Quality.OK
        seen.add(digest)
    assert len(seen) == 150


def test_gaps_and_defects_come_as_often_as_set_and_of_the_kinds_set():
    shows = line(gap_rate=0.25, defect_rate=0.4, defects=("spot", "dent"), width=64, height=64)
    labels = [shows.show(number).label for number in range(1, 601)]
    counted = {label: labels.count(label) / 600 for label in labels}
    assert counted["empty"] == pytest.approx(0.25, abs=0.06)
    assert counted["spot"] == pytest.approx(0.15, abs=0.05)
    assert counted["dent"] == pytest.approx(0.15, abs=0.05)
    assert set(counted) == {"good", "empty", "spot", "dent"}


@pytest.mark.parametrize("kind", DEFECTS)
def test_the_truth_names_the_defect_and_where_it_is(kind):
    shows = line(noise=0.5, shift_px=20, turn_degrees=5)
    for number in range(1, 6):
        shown, good = shows.show(number, kind), shows.show(number, "good")
        assert good.mask is None
        assert good.source == f"synthetic#1/{number}/good"
        truth, column, row, size = shown.source.rsplit(",", 3)
        assert (shown.label, truth) == (kind, f"synthetic#1/{number}/{kind}")
        rows, columns = np.nonzero(shown.mask)
        reach = int(size) / 2 + 3
        assert abs(columns - int(column)).max() <= reach
        assert abs(rows - int(row)).max() <= reach
        # Where the mask is, the part differs from the same part without the defect more than elsewhere.
        change = np.abs(shown.pixels.astype(int) - good.pixels).max(axis=2)
        assert change[shown.mask].mean() > 2 * change[~shown.mask].mean()


def test_light_blur_and_position_drift_and_come_back():
    drift = {"drift_frames": 100, "shift_px": 0, "turn_degrees": 0}
    begun, half = line(**drift).show(100, "good").pixels, 50
    dark = line(**drift, light_drift=-0.5).show(half, "good").pixels
    assert grey(dark) == pytest.approx(0.5 * grey(begun), rel=0.06)
    assert grey(line(**drift, light_drift=-0.5).show(100, "good").pixels) == pytest.approx(
        grey(begun), rel=0.01
    )
    sharp, blurred = line(**drift).show(half, "good"), line(**drift, blur_drift_px=4).show(half, "good")
    assert (
        np.diff(sharp.pixels.astype(int), axis=1).std()
        > 1.5 * np.diff(blurred.pixels.astype(int), axis=1).std()
    )
    right = line(**drift, shift_drift_px=12).show(half, "good").pixels.astype(int)
    off = {
        by: np.abs(right[:, 20:-20] - np.roll(sharp.pixels, by, 1)[:, 20:-20]).mean() for by in (10, 12, 14)
    }
    assert min(off, key=off.get) == 12


def test_a_grey_camera_has_three_equal_channels():
    pixels = line(colour=False).show(1).pixels
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize(("width", "height"), [(64, 64), (64, 700), (1000, 64), (101, 77)])
def test_every_size_shows_every_defect(width, height):
    shows = line(width=width, height=height)
    for kind in ("good", "empty", *DEFECTS):
        shown = shows.show(3, kind)
        assert shown.pixels.shape == (height, width, 3)
        assert shown.mask is None or shown.mask.any()
