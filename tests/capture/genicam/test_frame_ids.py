"""Gaps in the numbers of frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.capture.genicam.frame_ids import FrameIds, FrameOrder


def lost(ids):
    counted = FrameIds()
    return [counted.lost_before(frame_id) for frame_id in ids], counted.take_remark()


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1, 2, 3], [0, 0, 0]),
        ([1, 4], [0, 2]),
        ([65534, 65535, 1, 2], [0, 0, 0, 0]),  # GigE Vision 1.x leaves 0 out
        ([65534, 2], [0, 2]),
        ([65535, 65536, 65539], [0, 0, 2]),  # GigE Vision 2.x has 64 bits
        ([2**40, 2**40 + 3], [0, 2]),
        ([7, 0, 9], [0, 0, 0]),  # the number itself was lost
        ([7, 0, 12], [0, 0, 3]),
    ],
)
def test_a_gap_counts_the_frames_that_never_came(ids, expected):
    assert lost(ids) == (expected, "")


@pytest.mark.parametrize("ids", [[500, 1], [5, 5], [1, 40_000], [2**40, 3]])
def test_numbers_that_begin_anew_are_said_and_not_counted(ids):
    counts, remark = lost(ids)
    assert counts == [0, 0]
    assert f"from {ids[0]} to {ids[1]}" in remark


@given(first=st.integers(1, 65_535), came=st.lists(st.booleans(), min_size=1, max_size=300))
def test_what_came_and_what_was_lost_are_all_that_was_sent(first, came):
    sent = [(first - 1 + number) % 65_535 + 1 for number in range(len(came) + 2)]
    seen = [frame_id for frame_id, is_there in zip(sent, [True, *came, True], strict=True) if is_there]
    counts, _ = lost(seen)
    assert len(seen) + sum(counts) == len(sent)


def problems(*frames):
    order = FrameOrder()
    return [bool(order.problem(*frame)) for frame in frames]


def test_a_frame_is_new_that_goes_ahead_by_its_number_or_its_stamp():
    assert not any(problems((1, 100), (2, 200), (5, 300)))
    assert not any(problems((65_534, 100), (65_535, 200), (1, 300), (2, 400)))  # 16 bits
    assert not any(problems((2**32 - 1, 100), (0, 200), (1, 300)))  # 32 bits
    assert not any(problems((7, 900), (8, 50), (9, 60)))  # its clock was set back
    assert not any(problems((7, 100), (1, 200), (2, 300)))  # its numbers began anew
    assert not any(problems((0, 0), (0, 0)))  # nothing is known of it
    assert not any(problems((1, 0), (2, 0), (0, 0), (3, 0)))
    assert not any(problems((0, 100), (0, 200)))


@pytest.mark.parametrize(
    "last",
    [(2, 300), (3, 200), (2, 200), (1, 150), (1, 0), (2, 0), (0, 200), (0, 150), (3, 100), (65_535, 99)],
)
def test_a_frame_is_not_new_that_repeats_or_shows_nothing_that_goes_ahead(last):
    assert problems((1, 100), (2, 200), last) == [False, False, True]


def test_opened_anew_all_may_begin_again_but_no_stamp_comes_twice():
    order = FrameOrder()
    assert not order.problem(7, 900)
    order.reopened()
    assert not order.problem(1, 100)
    assert order.problem(2, 900)


def test_a_clock_that_begins_anew_with_every_start_costs_one_start_more():
    order, refused = FrameOrder(), []
    for start in range(5):
        order.reopened()
        for number in range(1, 20):
            if order.problem(number, 1_000 + 40 * number):
                refused.append((start, number))
                break
    assert refused == [(1, 1), (3, 1)]


def test_of_several_frames_that_were_left_over_none_is_new():
    order = FrameOrder()
    assert not any(order.problem(number, 100 * number) for number in range(1, 9))
    for left_over in (5, 6, 7, 8):
        order.reopened()
        assert order.problem(left_over, 100 * left_over)
    order.reopened()
    assert not order.problem(9, 900)
    assert order.problem(10, 300)
