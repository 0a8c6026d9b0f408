"""Slow change is told by its cause, before frames are undecidable."""

import random

import msgspec

from inspectd.quality.drift import SCORE, DriftCause, DriftTrack
from inspectd.records import MeasureLimit, Measures

SECOND_NS = 1_000_000_000
LIMITS = {
    "mean_grey": MeasureLimit(120.0, 80.0, 160.0),
    "detail": MeasureLimit(2.0, low=1.0),
    "shift_x_px": MeasureLimit(0.0, -5.0, 5.0),
    "likeness": MeasureLimit(0.9, low=0.6),
    SCORE: MeasureLimit(0.3, high=1.0),
}
USUAL = Measures(mean_grey=120.0, detail=2.0, shift_x_px=0.0, likeness=0.9)


def run(track, seconds, score=lambda at: 0.3, began=0, **changes):
    """One frame a second; `changes`: each measure by the share of the time that has passed."""
    chance = random.Random(0)
    told = None
    for second in range(seconds):
        moved = {name: change(second / seconds) + chance.gauss(0, 0.02) for name, change in changes.items()}
        measures = msgspec.structs.replace(USUAL, **moved)
        track.add(measures, score(second / seconds), (began + second) * SECOND_NS)
        if told is None and track.warned:
            told = second / seconds
    return told


def test_a_lamp_that_darkens_is_told_half_way_and_how_long_it_lasts():
    track = DriftTrack(LIMITS)
    told = run(track, 7200, mean_grey=lambda at: 120 - 30 * at)
    assert 0.6 < told < 0.75  # of the way, 20 of 40 grey levels, seen by a median that follows behind
    (drift,) = track.warned
    assert drift.cause is DriftCause.LIGHT
    assert drift.measure == "mean_grey"
    assert 0.4 < drift.hours_left < 1.0
    assert "of the way to its limit 80; at this rate it is there in about 1 h" in str(drift)


def test_each_cause_is_told_apart():
    for cause, name, change in (
        (DriftCause.FOCUS, "detail", lambda at: 2 - 0.8 * at),
        (DriftCause.POSITION, "shift_x_px", lambda at: 4 * at),
        (DriftCause.PROCESS, "likeness", lambda at: 0.9 - 0.25 * at),
    ):
        track = DriftTrack(LIMITS)
        run(track, 1000, **{name: change})
        assert [drift.cause for drift in track.warned] == [cause]


def test_scores_that_rise_alone_are_the_process_and_with_another_cause_are_not():
    track = DriftTrack(LIMITS)
    run(track, 1000, score=lambda at: 0.3 + 0.5 * at)
    assert [drift.cause for drift in track.warned] == [DriftCause.PROCESS]
    track = DriftTrack(LIMITS)
    run(track, 1000, score=lambda at: 0.3 + 0.5 * at, mean_grey=lambda at: 120 + 35 * at)
    assert [drift.cause for drift in track.warned] == [DriftCause.LIGHT]


def test_what_only_scatters_is_not_told_and_neither_are_a_few_frames():
    track, chance = DriftTrack(LIMITS), random.Random(1)
    assert run(track, 3000, mean_grey=lambda _: chance.gauss(120, 10)) is None
    track = DriftTrack(LIMITS)
    run(track, 40, mean_grey=lambda _: 90)
    assert track.warned == []


def test_a_warning_ends_once_it_is_well_away_from_the_limit():
    track = DriftTrack(LIMITS)
    run(track, 500, mean_grey=lambda _: 97)
    assert track.warned
    run(track, 500, began=500, mean_grey=lambda _: 101)  # 48 %: it does not flicker
    assert track.warned
    run(track, 500, began=1000, mean_grey=lambda _: 118)
    assert track.warned == []
