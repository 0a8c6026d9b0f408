"""The numbers that PLCs were programmed with: the table of docs/wire.md, and that none ever changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inspectd.wire import Reason, RecipeRefusalReason, RefusalReason
from inspectd.wire.numbers import (
    COMMAND_REFUSAL_NUMBERS,
    REASON_NUMBERS,
    TRIGGER_REFUSAL_NUMBERS,
    UNKNOWN,
    command_refusal_number,
    reason_number,
    trigger_refusal_number,
)

PAGE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")

PUBLISHED = {
    "Reason of a verdict": (
        """within_threshold above_threshold deadline scoring_down scoring_lost scoring_error frame_lost
        overload shutdown restarted black frozen partial stale format missed_trigger golden golden_overdue
        golden_failed camera_settings quality_exposure quality_focus quality_position quality_scene
        quality_colour no_part""",
        [*range(1, 27)],
        {"no_verdict": 200, "not_fetched": 201},
    ),
    "Reason for refusing a trigger": (
        """not_ready unknown_recipe unknown_camera duplicate_id overload shutting_down malformed golden
        other_line""",
        [*range(20, 29)],
        {
            "not_online": 1,
            "not_enabled": 2,
            "not_finished": 3,
            "part_id": 4,
            "no_answer": 5,
            "recipe_number": 6,
        },
    ),
    "Result of a command": (
        """malformed not_ready busy unknown damaged failed not_prepared in_force no_shadow not_recorded
        other_line not_before""",
        [*range(40, 52)],
        {
            "unknown_command": 60,
            "no_answer": 61,
            "recipe_number": 62,
            "not_loaded": 63,
            "not_alive": 64,
            "golden_part": 65,
            "not_allowed": 66,
            "no_check": 67,
            "off": 68,
            "line_restarted": 69,
        },
    ),
}
"""As they were published. Add to it; change nothing."""

TABLES = {
    "Reason of a verdict": REASON_NUMBERS,
    "Reason for refusing a trigger": TRIGGER_REFUSAL_NUMBERS,
    "Result of a command": COMMAND_REFUSAL_NUMBERS,
}


def published(heading: str) -> dict[str, int]:
    names, numbers, own = PUBLISHED[heading]
    return dict(zip(names.split(), numbers, strict=True)) | own


def documented(heading: str) -> dict[str, int]:
    lines = PAGE.split(f"\n| {heading} | Number |\n")[1].split("\n\n")[0].splitlines()[1:]
    rows = [re.match(r"\| `(\w+)`.*\| (\d+) \|$", line) for line in lines if "| 0 |" not in line]
    return {row[1]: int(row[2]) for row in rows if row}


@pytest.mark.parametrize("heading", TABLES)
def test_no_published_number_changed_and_the_page_has_them_all(heading: str) -> None:
    assert {name: TABLES[heading].get(name) for name in published(heading)} == published(heading)
    assert documented(heading) == TABLES[heading]
    numbers = [*TABLES[heading].values()]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < UNKNOWN for number in numbers)


def test_every_reason_has_a_number() -> None:
    assert UNKNOWN not in {reason_number(reason) for reason in Reason}
    assert UNKNOWN not in {trigger_refusal_number(reason) for reason in RefusalReason}
    assert UNKNOWN not in {command_refusal_number(reason) for reason in RecipeRefusalReason}


def test_what_a_newer_line_may_send_is_unknown() -> None:
    assert reason_number("not of this version") == UNKNOWN


def test_a_reason_that_exists_is_not_marked_as_reserved() -> None:
    reserved = set(re.findall(r"\| `(\w+)` \(reserved\) \|", PAGE))
    assert reserved == {name for name, n in REASON_NUMBERS.items() if n < 200} - {*Reason}
