import numpy as np
import pytest
from support.pictures import noise

from inspectd.capture.old_rows import OldRows


def judged(*pictures):
    rows = OldRows()
    return [rows.are_in(picture) for picture in pictures]


def spliced(upper, lower, at):
    return np.vstack([upper[:at], lower[at:]])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("at", [8, 240, 450])
def test_rows_of_any_of_the_64_frames_before_are_found_above_or_below(channels, at):
    frames = [noise(seed, 480, 640)[..., :channels] for seed in range(65)]
    torn, fresh = spliced(noise(99, 480, 640)[..., :channels], frames[1], at), noise(98, 480, 640)
    assert judged(*frames, torn, fresh[..., :channels]) == [False] * 65 + [True, False]
    assert judged(*frames, spliced(frames[1], fresh[..., :channels], at))[-1] is (at > 16)


def test_new_noise_on_a_still_scene_is_no_repeat_however_faint():
    rng = np.random.default_rng(1)
    scene = rng.integers(20, 230, (480, 640, 1))
    frames = [np.rint(scene + rng.normal(0, 0.25, scene.shape)).astype(np.uint8) for _ in range(40)]
    assert not any(judged(*frames))


def test_what_is_clipped_may_repeat():
    lit = [spliced(noise(seed, 480, 640), np.full((480, 640, 3), value, np.uint8), 200) for seed, value in
           ((1, 255), (2, 255), (3, 0), (4, 0))]  # fmt: skip
    assert not any(judged(*lit))


def test_the_same_rows_at_another_place_are_no_repeat():
    picture = noise(1, 480, 640)
    assert not any(judged(picture, np.roll(picture, 1, axis=0)))
