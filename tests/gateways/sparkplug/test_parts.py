"""Rows of parts: what is told of a part is what its verdicts say, and nothing that they do not."""

from __future__ import annotations

import msgspec
import pytest
from support.messages import EPOCH, heartbeat, verdict

from inspectd.client import Evaluation, PartVerdict, Position, Reason, ViewVerdict
from inspectd.gateways.sparkplug.line_clock import LineClock
from inspectd.gateways.sparkplug.names import PART
from inspectd.gateways.sparkplug.parts import PartRows


def view(seq: int, camera: str, **more: object):
    return msgspec.structs.replace(verdict(seq), trigger_id="4711", camera=camera, **more)


def part(seq: int, *views, evaluation=Evaluation.PASS) -> PartVerdict:
    shown = [
        ViewVerdict(each.camera, each.seq, each.evaluation, each.reason, region=each.region) for each in views
    ]
    return PartVerdict(
        plant="demo", line="line1", epoch=EPOCH, seq=seq, trigger_id="4711", part_id="P-1", encoder_count=-3,
        evaluation=evaluation, reason=Reason.WITHIN_THRESHOLD, triggered_utc_ns=1_763_924_431_000_000_000,
        decided_utc_ns=1_763_924_431_031_250_000, latency_ms=31.25, deadline_ms=500,
        deadline_margin_ms=468.75, late=False, views=shown,
    )  # fmt: skip


def test_a_frame_where_nothing_is_triggered_is_a_part() -> None:
    row = PartRows().row(verdict(1))
    assert row is not None
    assert row.decided_utc_ns == 1_763_924_431_031_250_000
    wanted = {
        "Evaluation": 1, "Reason": "within_threshold", "ReasonCode": 1, "Camera": "camera1", "Score": 1.5,
        "Threshold": 2.5, "Recipe": "cells", "Seq": 1, "Epoch": EPOCH, "Decided": 1_763_924_431_031,
    }  # fmt: skip
    assert row.values.items() >= wanted.items()
    assert row.values.keys() <= {told.name for told in PART}


def test_a_triggered_part_has_the_score_of_its_worst_view() -> None:
    rows, top, side = (
        PartRows(),
        view(1, "top", score=2.0, threshold=4.0),
        view(2, "side", score=1.0, threshold=1.5),
    )
    assert rows.row(top) is None
    assert rows.row(side) is None
    row = rows.row(part(3, top, side))
    assert row is not None
    assert (row.values["Camera"], row.values["Score"], row.values["Threshold"]) == ("side", 1.0, 1.5)
    assert (row.values["PartId"], row.values["EncoderCount"]) == ("P-1", -3)
    assert row.values["Views"] == "top=pass, side=pass"
    assert row.values["Recipe"] == "cells"
    assert row.values.keys() <= {told.name for told in PART}


def test_regions_of_a_camera_are_told_apart() -> None:
    rows, label = PartRows(), view(1, "top", region="label", score=2.0, threshold=4.0)
    cap = view(2, "top", region="cap", score=5.0, threshold=4.0, evaluation=Evaluation.FAIL)
    rows.row(label)
    rows.row(cap)
    row = rows.row(part(3, label, cap, evaluation=Evaluation.FAIL))
    assert row is not None
    assert (row.values["Camera"], row.values["Views"]) == ("top/cap", "top/label=pass, top/cap=fail")
    free = PartRows().row(msgspec.structs.replace(verdict(1), region="cap"))
    assert free is not None
    assert (free.values["Camera"], free.values["Views"]) == ("camera1/cap", "camera1/cap=pass")


def test_of_views_that_are_not_known_nothing_is_told() -> None:
    rows, top, side = PartRows(), view(1, "top"), view(2, "side", recipe="other")
    rows.row(top)
    row = rows.row(part(3, top, side))
    assert row is not None
    assert "Score" not in row.values, "the other view may be the worst"
    assert PartRows().row(part(3, top, side)).values["Recipe"] is None
    both = PartRows()
    for each in (top, side):
        both.row(each)
    assert both.row(part(3, top, side)).values["Recipe"] is None, "no recipe is that of both"


@pytest.mark.parametrize("score", [None, 1.5])
def test_a_view_without_a_score_is_never_the_worst(score: float | None) -> None:
    rows, top = PartRows(), view(1, "top", score=score, threshold=2.0)
    side = view(2, "side", evaluation=Evaluation.UNDECIDABLE, reason=Reason.BLACK, score=None, threshold=None)
    for each in (top, side):
        rows.row(each)
    row = rows.row(part(3, top, side, evaluation=Evaluation.UNDECIDABLE))
    assert row is not None
    assert row.values.get("Score") == score


def test_views_whose_part_never_comes_are_not_kept_for_ever() -> None:
    rows = PartRows()
    first = view(1, "top")
    for seq in range(1, 2000):
        rows.row(view(seq, "top"))
    assert "Score" not in rows.row(part(5000, first)).values


def test_what_is_read_again_after_a_break_begins_with_the_oldest_view_whose_part_is_to_come() -> None:
    rows, top, side, next_top = PartRows(), view(1, "top"), view(2, "side"), view(3, "top")
    assert rows.waits_from is None
    rows.row(verdict(0))
    assert rows.waits_from is None, "a frame of no part"
    for each in (top, side, next_top):
        rows.row(each)
    assert rows.waits_from == Position(EPOCH, 0)
    rows.row(part(4, top, side))
    assert rows.waits_from == Position(EPOCH, 2)
    rows.row(part(5, next_top))
    assert rows.waits_from is None


@pytest.mark.parametrize(
    "later",
    [
        {"decided_utc_ns": verdict(9).decided_utc_ns + 700_000_000_000},
        {"epoch": EPOCH + 1},
    ],
)
def test_a_view_whose_part_was_lost_is_not_waited_for_for_ever(later) -> None:
    rows = PartRows()
    rows.row(view(1, "top"))
    rows.row(verdict(9))
    assert rows.waits_from == Position(EPOCH, 0)
    rows.row(msgspec.structs.replace(verdict(9), **later))
    assert rows.waits_from is None
    for seq in range(10, 2000):
        rows.row(view(seq, "top"))
    assert rows.waits_from is not None
    assert rows.waits_from.seq > 900, "what is kept is bounded"


def test_news_is_what_was_judged_since_somebody_listens_and_just_now() -> None:
    now = 100.0
    clock = LineClock(lambda: now)
    assert clock.is_history(10**18), "without a heartbeat nobody knows"
    beat = msgspec.structs.replace(heartbeat(0), utc_ns=1_000_000_000_000)
    clock.see(beat)
    assert clock.is_history(1_000_000_000_000), "nobody listens yet"
    clock.begin()
    assert clock.is_history(999_999_999_999)
    assert not clock.is_history(1_000_000_000_000)
    now += 3.0
    clock.see(beat)
    assert clock.is_history(1_000_500_000_000), "two and a half seconds ago, by the line's clock"
    assert not clock.is_history(1_001_500_000_000)


def test_parts_stay_news_where_the_lines_clock_is_set_back() -> None:
    now, second = 100.0, 10**9
    clock = LineClock(lambda: now)
    beat = heartbeat(0)
    clock.see(msgspec.structs.replace(beat, utc_ns=10_000 * second))
    clock.begin()
    now += 1.0
    clock.see(msgspec.structs.replace(beat, utc_ns=6_401 * second))
    now += 1.0
    assert not clock.is_history(6_402 * second)
    assert clock.is_history(6_399 * second), "judged before that was known, or before anybody listened"


def test_parts_of_before_the_lines_clock_was_set_back_are_no_news_to_who_listens_again() -> None:
    now, second = 100.0, 10**9
    clock = LineClock(lambda: now)
    beat = heartbeat(0)
    clock.see(msgspec.structs.replace(beat, utc_ns=10_000 * second))
    clock.begin()
    now += 60.0  # the broker is away: a part is judged and waits, and the clock is set back by an hour
    clock.see(msgspec.structs.replace(beat, utc_ns=6_460 * second))
    clock.begin()
    assert clock.is_history(10_030 * second)
    assert not clock.is_history(6_460 * second)
    assert not clock.is_history(6_461 * second), "judged since, by a clock of which the next heartbeat tells"
