"""The time from light to stamp, from injected times: the bounds are true, and what cannot be told is said."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inspectd.capture.latency import Flash, Glance, LatencyError, estimate_latency

MS = 1_000_000
PERIOD_MS, EXPOSURE_MS = 33, 8


def scene(share, *, dark=20.0, bright=180.0, lit_cells=768, seed=0):
    cells = np.full(768, dark, np.float32)
    cells[:lit_cells] += share * (bright - dark)
    return cells + np.random.default_rng(seed).normal(0, 0.5, 768).astype(np.float32)


def film(flashes, seed, shortest_ms, longest_ms, *, display_ms=0.0, doubt_ms=0.0, pulse_ms=None, **look):
    """Frames of a camera that sees the flashes; a latency counts from the beginning of an exposure."""
    chance = np.random.default_rng(seed)
    changes = [((f.before_ns + f.after_ns) / 2 / MS + display_ms, f.on) for f in flashes]
    if pulse_ms is not None:
        changes = sorted(c for at, _ in changes for c in ((at, True), (at + pulse_ms, False)))
    glances, end_ms = [], changes[-1][0] + 900
    for number in range(int((end_ms - 0) / PERIOD_MS)):
        begin_ms = number * PERIOD_MS + 5
        light, lit_ms, at_ms = False, 0.0, begin_ms
        for change_ms, on in changes:
            if change_ms >= begin_ms + EXPOSURE_MS:
                break
            if change_ms > at_ms:
                lit_ms += (change_ms - at_ms) * light
                at_ms = change_ms
            light = on
        lit_ms += (begin_ms + EXPOSURE_MS - at_ms) * light
        doubt = chance.uniform(0, doubt_ms)
        stamp_ms = begin_ms + chance.uniform(shortest_ms, longest_ms) - chance.uniform(0, doubt)
        cells = scene(lit_ms / EXPOSURE_MS, seed=number, **look)
        glances.append(Glance(int(stamp_ms * MS), int(doubt * MS), cells))
    return sorted(glances, key=lambda glance: glance.captured_ns)


def switched(seed, count=40, hold_ms=400, takes_ms=4, first_ms=1000):
    chance, at_ms, flashes = np.random.default_rng(seed), first_ms, []
    for number in range(count):
        flashes.append(Flash(int(at_ms * MS), int((at_ms + takes_ms) * MS), number % 2 == 0))
        at_ms += hold_ms * chance.uniform(1, 1.5)
    return flashes


@settings(max_examples=25)
@example(8749, 0.0, 0, 12, 768)  # frames of the next change, with stamps from before it
@given(
    st.integers(0, 10_000), st.floats(0, 150), st.sampled_from([0, 0.5, 10, 25]), st.sampled_from([0, 12]),
    st.sampled_from([768, 9]),
)  # fmt: skip
def test_the_true_latencies_lie_within_what_is_measured(seed, shortest_ms, more_ms, doubt_ms, lit_cells):
    flashes, longest_ms = switched(seed), shortest_ms + more_ms
    frames = film(flashes, seed, shortest_ms, longest_ms, doubt_ms=doubt_ms, lit_cells=lit_cells)
    found = estimate_latency(flashes, frames)
    assert found.seen >= 30
    assert found.latency_ms >= longest_ms
    assert found.latency_min_ms <= shortest_ms + 0.1
    # A period of the camera, the exposure, how long switching took, and the margin: no more is lost.
    lost_ms = PERIOD_MS + EXPOSURE_MS + 4 + doubt_ms + found.margin_ms + 2
    assert found.latency_ms <= longest_ms + lost_ms
    assert found.latency_min_ms >= min(shortest_ms, max(0, shortest_ms - lost_ms))
    assert found.frame_interval_ms == pytest.approx(PERIOD_MS, abs=8)


def test_a_display_that_is_late_makes_both_longer():
    flashes = switched(3)
    at_once = estimate_latency(flashes, film(flashes, 3, 80, 80))
    late = estimate_latency(flashes, film(flashes, 3, 80, 80, display_ms=50))
    assert late.longest_ms == pytest.approx(at_once.longest_ms + 50, abs=PERIOD_MS)
    assert late.latency_min_ms > 80  # longer than the camera takes: not to be used


def test_a_light_that_the_trigger_fires_may_go_out_by_itself():
    flashes = [Flash(f.before_ns, f.after_ns, on=True) for f in switched(5, hold_ms=600)]
    found = estimate_latency(flashes, film(flashes, 5, 70, 90, pulse_ms=60), is_pulse=True)
    assert found.latency_ms >= 90
    assert found.latency_min_ms <= 70
    assert found.latency_ms <= 90 + 2 * PERIOD_MS + EXPOSURE_MS + found.margin_ms + 6


def test_a_first_pulse_that_no_frame_shows_may_be_a_long_latency():
    flashes = [Flash(f.before_ns, f.after_ns, on=True) for f in switched(5, hold_ms=600)]
    missed = film(flashes[1:], 5, 70, 90, pulse_ms=60)
    said = "or no frame showed the first flash; let triggers come further apart, or measure again"
    with pytest.raises(LatencyError, match=said):
        estimate_latency(flashes, missed, is_pulse=True)


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({"dark": 1.0, "bright": 6.0}, "the picture is dark with the light on"),
        ({"dark": 90.0, "bright": 91.0}, "no change was seen: .* differ by more than . of 255"),
    ],
)
def test_what_the_camera_does_not_show_is_said(look, said):
    flashes = switched(1)
    with pytest.raises(LatencyError, match=said):
        estimate_latency(flashes, film(flashes, 1, 80, 80, **look))


def test_too_few_changes_seen_are_not_made_into_a_figure():
    flashes = switched(1)
    frames = film(flashes, 1, 80, 80)
    for number, (flash, after) in enumerate(itertools.pairwise(flashes)):
        late = [i for i, g in enumerate(frames) if flash.before_ns < g.captured_ns < after.before_ns][-2]
        if number % 3:  # another light disturbs
            frames[late] = frames[late]._replace(cells=scene(0.2 if flash.on else 0.8))
    with pytest.raises(LatencyError, match=r"follow 1\d of 40 changes of the light, expected at least 20"):
        estimate_latency(flashes, frames)


def test_a_latency_longer_than_a_hold_is_not_taken_for_a_short_one():
    flashes = switched(2, hold_ms=150)
    with pytest.raises(LatencyError, match="hold each change longer"):
        estimate_latency(flashes, film(flashes, 2, 400, 420))


def test_a_camera_that_gives_nothing_is_said():
    with pytest.raises(LatencyError, match="0 frames came"):
        estimate_latency(switched(1), [])
