import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import noise

from inspectd.capture.driver import Frame
from inspectd.capture.quality import FrameGate, is_partial, mean_grey
from inspectd.config import QualityGate
from inspectd.pictures.channels import as_bgr
from inspectd.records import Quality


def judge_all(pictures, gate=None, sources=None, age_ms=0.0, may_repeat=False):
    gate = gate or FrameGate(QualityGate())
    frames = [
        Frame(picture, 0, 0, age_ms, source=source, may_repeat=may_repeat)
        for picture, source in zip(pictures, sources or [None] * len(pictures), strict=True)
    ]
    return [gate.judge(frame, hashlib.sha256(frame.pixels.tobytes()).digest()) for frame in frames]


def filled(value, height=48, width=64):
    return np.full((height, width, 3), value, np.uint8)


def torn(rows_kept, height=200, fill=(128, 128, 128)):
    picture = noise(1, height, 100)
    picture[rows_kept:] = fill
    return picture


@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 300))
def test_pictures_with_noise_are_fine_whatever_their_size(seed, height, width):
    pictures = [noise(seed + i, height, width) for i in range(5)]
    if height * width >= 8:  # a smaller picture may repeat by chance
        assert judge_all(pictures) == [Quality.OK] * 5


def test_a_dark_frame_is_black_and_the_limit_is_the_settings():
    assert judge_all([filled(1)]) == [Quality.BLACK]
    assert judge_all([filled(1)], FrameGate(QualityGate(black_below=1.0))) == [Quality.OK]
    assert judge_all([filled(0)], FrameGate(QualityGate(black_below=0))) == [Quality.OK]


def test_grey_weighs_the_colours_as_bt601_does():
    blue, green, red = np.zeros((3, 8, 8, 3), np.uint8)
    blue[..., 0] = green[..., 1] = red[..., 2] = 100
    assert [mean_grey(p) for p in (blue, green, red)] == pytest.approx([11.4, 58.7, 29.9])


@pytest.mark.parametrize("rows_kept", [0, 100, 150, 151, 200])
def test_a_grey_frame_is_judged_like_one_of_three_equal_channels(rows_kept):
    grey = torn(rows_kept)[:, :, :1].copy()
    for picture in (grey // 100, grey):
        assert mean_grey(picture) == pytest.approx(mean_grey(as_bgr(picture)))
        assert judge_all([picture, picture]) == judge_all([as_bgr(picture)] * 2)


def test_a_sensor_never_repeats_a_picture_so_the_first_repeat_is_frozen():
    ok, frozen = Quality.OK, Quality.FROZEN
    stuck = noise(1)
    assert judge_all([noise(0), stuck, stuck, stuck, noise(2), noise(3)]) == [ok, ok, frozen, frozen, ok, ok]


def test_buffers_handed_out_again_and_again_are_frozen():
    buffers = [noise(seed) for seed in range(4)]
    assert judge_all(buffers * 5) == [Quality.OK] * 4 + [Quality.FROZEN] * 16
    late = [noise(100 + seed) for seed in range(63)]
    assert judge_all([noise(1), *late, noise(1)])[-1] is Quality.FROZEN


def test_an_encoder_may_repeat_a_still_scene_twice():
    ok, frozen = Quality.OK, Quality.FROZEN
    stuck = noise(1)
    pictures = [noise(0), stuck, stuck, stuck, stuck, stuck, noise(2), noise(2)]
    assert judge_all(pictures, may_repeat=True) == [ok, ok, ok, ok, frozen, frozen, ok, ok]
    assert judge_all(pictures, FrameGate(QualityGate(frozen_frames=4)))[4:6] == [ok, frozen]


def test_what_the_driver_knows_to_be_wrong_is_wrong():
    gate = FrameGate(QualityGate(black_below=0, frozen_frames=0, partial_share=0, max_age_ms=0))
    for flaw in (Quality.PARTIAL, Quality.STALE):
        assert gate.judge(Frame(noise(1), 0, 0, flaw=flaw), b"") is flaw


def test_frozen_can_be_turned_off():
    assert judge_all([noise(1)] * 9, FrameGate(QualityGate(frozen_frames=0))) == [Quality.OK] * 9


STILL = noise(5, 270, 480)


@given(st.integers(0, 269 - 8), st.integers(0, 479))
def test_one_changed_column_of_eight_pixels_is_no_frozen_frame(y, x):
    first, second = STILL, STILL.copy()
    second[y : y + 8, x] += 1
    assert judge_all([first, second]) == [Quality.OK] * 2


def test_the_same_replayed_file_shown_again_is_not_frozen():
    assert judge_all([noise(1)] * 8, sources=["only.png"] * 8) == [Quality.OK] * 8


def test_a_replay_with_equal_files_is_not_frozen_after_some_rounds():
    pictures, names = [noise(1), noise(2), noise(1), noise(3)], ["a.png", "b.png", "c.png", "d.png"]
    assert judge_all(pictures * 9, sources=names * 9) == [Quality.OK] * 36


def test_different_files_of_one_content_are_a_recording_of_a_frozen_camera():
    judged = judge_all([noise(1)] * 5, sources=[f"{i}.png" for i in range(5)])
    assert judged == [Quality.OK] * 3 + [Quality.FROZEN] * 2


@pytest.mark.parametrize("fill", [(128, 128, 128), (0, 135, 0), (0, 0, 0), (255, 255, 255)])
def test_a_frame_whose_lower_part_never_came_is_partial(fill):
    assert judge_all([torn(100, fill=fill)]) == [Quality.PARTIAL]
    assert judge_all([torn(150, fill=fill)]) == [Quality.PARTIAL]
    assert judge_all([torn(151, fill=fill)]) == [Quality.OK]


def test_partial_can_be_turned_off():
    assert judge_all([torn(10)], FrameGate(QualityGate(partial_share=0))) == [Quality.OK]


def test_a_picture_of_one_colour_is_not_partial():
    assert not is_partial(filled(90), 0.25)


@given(st.integers(50, 199), st.integers(0, 99), st.integers(0, 2))
def test_one_pixel_of_another_value_in_the_lower_part_shows_a_whole_frame(y, x, channel):
    picture = torn(50)
    picture[y, x, channel] += 1
    assert not is_partial(picture, 0.75)


def test_a_late_frame_of_a_live_stream_is_stale():
    assert judge_all([noise(1)], age_ms=1_001.0) == [Quality.STALE]
    assert judge_all([noise(1)], age_ms=999.0) == [Quality.OK]
    assert judge_all([noise(1)], FrameGate(QualityGate(max_age_ms=0)), age_ms=1e9) == [Quality.OK]
