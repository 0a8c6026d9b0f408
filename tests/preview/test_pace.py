"""How often previews are made: never too many, a lone fail at once, passes among fails too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inspectd.preview.pace import PreviewPace

MS = 1_000_000
FPS = 5.0


def shown(parts: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
    """What is shown of parts by their time in milliseconds and whether they passed."""
    pace, taken = PreviewPace(FPS), []
    for at_ms, passed in parts:
        if pace.allows("top", at_ms * MS, passed=passed):
            pace.made("top", at_ms * MS)
            taken.append((at_ms, passed))
    return taken


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=200))
def test_no_more_than_so_many_a_second_and_two_ahead(steps):
    at_ms, parts = 0, []
    for step_ms, passed in steps:
        at_ms += step_ms
        parts.append((at_ms, passed))
    times = [at_ms for at_ms, _ in shown(parts)]
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= (times[last] - times[first]) / 1000 * FPS + 3


def test_a_lone_fail_is_shown_at_once():
    parts = [(50 * n, n != 21) for n in range(100)]
    assert (1050, False) in shown(parts)
    assert 24 <= len(shown(parts)) <= 27


def test_among_many_fails_passes_are_shown_too():
    taken = shown([(50 * n, n % 2 == 0) for n in range(400)])
    passes = sum(passed for _, passed in taken)
    assert 0.2 * len(taken) < passes < 0.8 * len(taken)


def test_a_camera_that_is_hardly_slower_is_shown_whole():
    parts = [(200 * n + (n % 3) * 4, True) for n in range(50)]
    assert len(shown(parts)) >= 49


def test_places_have_a_pace_each():
    pace = PreviewPace(FPS)
    pace.made("top", 0)
    assert pace.allows("top/label", 0, passed=True)
    assert not pace.allows("top", 0, passed=True)
