"""A stream that gives nothing is told from one that is not asked."""

from __future__ import annotations

import pytest
from nats.js import api

from inspectd.hub.stream_progress import StreamProgress, behind


def stream(first: int, last: int) -> api.StreamInfo:
    return api.StreamInfo(
        api.StreamConfig("V+test+line"), api.StreamState(last - first + 1, 0, first, last, 1)
    )


@pytest.mark.parametrize(
    ("first", "last", "read", "waiting"),
    [(1, 30, 10, 20), (26, 30, 10, 5), (31, 30, 10, 0), (31, 30, 0, 0), (0, 0, 0, 0), (1, 30, 40, 0)],
)
def test_only_what_a_stream_still_has_waits_to_be_read(first, last, read, waiting) -> None:
    assert behind(stream(first, last), read) == waiting


def test_a_line_that_waits_for_its_turn_to_write_does_not_stall() -> None:
    now = [0.0]
    progress = StreamProgress(0, lambda: now[0])
    progress.asks()
    progress.look_at(stream(1, 5000))
    assert not progress.is_stalled
    progress.gave()
    now[0] = 90  # behind 40 other lines
    progress.look_at(stream(1, 6000))
    assert not progress.is_stalled
    progress.read_up_to(2000)
    progress.asks()
    progress.look_at(stream(1, 6000))
    assert not progress.is_stalled
    now[0] = 111  # it is asked, has more, and gives nothing: its consumer is gone
    progress.look_at(stream(1, 6000))
    assert progress.is_stalled


def test_a_line_that_stood_still_does_not_stall_with_its_first_message() -> None:
    now = [0.0]
    progress = StreamProgress(7, lambda: now[0])
    progress.asks()
    progress.look_at(stream(1, 7))
    assert not progress.is_stalled
    now[0] = 90  # nobody could look before
    progress.look_at(stream(1, 8))
    assert not progress.is_stalled
    now[0] = 111
    progress.look_at(stream(1, 8))
    assert progress.is_stalled


def test_an_empty_answer_of_a_stream_that_has_more_does_not_show_that_it_gives() -> None:
    progress = StreamProgress(7, lambda: 0.0)
    assert not progress.has_given(0)  # nobody has looked yet
    progress.look_at(stream(1, 9))
    assert not progress.has_given(0)
    assert progress.has_given(2)
    progress.look_at(stream(1, 7))
    assert progress.has_given(0)
