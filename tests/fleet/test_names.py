from __future__ import annotations

import pytest
from support.messages import verdict

from inspectd.fleet.forward.extras import Allowance
from inspectd.fleet.names import LineNames, message_id, position_of
from inspectd.wire.sync import Position

NAMES = LineNames("demo", "line1")


def test_no_two_lines_share_a_stream_or_an_inbox() -> None:
    lines = [LineNames("a", "b-c"), LineNames("a-b", "c"), LineNames("a_b", "c"), LineNames("a", "b_c")]
    for name in ("stream", "extras_stream", "base", "inbox"):
        assert len({getattr(line, name) for line in lines}) == len(lines)


def test_a_subject_says_line_epoch_and_camera() -> None:
    made = verdict(7, 42)
    assert NAMES.subject(made) == f"i1.demo.line1.v.42.{made.camera}"
    assert NAMES.subject(made, is_repair=True) == f"i1.demo.line1.fix.42.{made.camera}"
    assert NAMES.epoch_of(NAMES.subject(made)) == NAMES.epoch_of(NAMES.subject(made, is_repair=True)) == 42


@pytest.mark.parametrize(
    "subject",
    [
        "i1.demo.line10.v.42.a",
        "i1.demo.line1.h.42.a",
        "i1.demo.line1.v.x.a",
        "i1.demo.line1.v.4",
        f"i1.demo.line1.v.{'4' * 5000}.a",
        "",
    ],
)
def test_other_subjects_have_no_epoch(subject: str) -> None:
    assert NAMES.epoch_of(subject) is None


def test_an_id_names_a_verdict_and_nothing_else_does() -> None:
    here = Position(1_763_924_400_000, 17)
    assert position_of(message_id(here)) == position_of(message_id(here, is_repair=True)) == here
    assert message_id(here) != message_id(here, is_repair=True)
    for text in (
        None,
        "",
        "17",
        "1:",
        ":1",
        "a:1",
        "1:b",
        "-1:2",
        "1:2:3",
        "\uff11:2",
        f"{2**53 + 1}:1",
        f"1:{'9' * 5000}",
    ):
        assert position_of(text) is None


def test_heatmaps_beyond_the_bound_are_not_taken() -> None:
    now = 0.0
    allowance = Allowance(20, lambda: now)
    assert sum(allowance.take() for _ in range(100)) == 20
    now = 0.5
    assert sum(allowance.take() for _ in range(100)) == 10
    now = 3600.0
    assert sum(allowance.take() for _ in range(100)) == 20
