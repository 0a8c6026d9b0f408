"""What a line says of a golden check is what becomes of its parts, and when."""

import re
import time
from datetime import datetime

import pytest

from inspectd.config import Config, GoldenPart, GoldenSettings, ImagesCamera, Recipe
from inspectd.golden.schedule import GoldenSchedule
from inspectd.golden_standing import GoldenStanding
from inspectd.recipes.book import RecipeBook, of_file

SHA = "a" * 64
MINUTE = 60_000_000_000
MINUTE_SAID = r"\d{4}-\d\d-\d\d \d\d:\d\d[+-]\d\d:\d\d"


def standing(now_ns: list[int], **rules: object) -> GoldenStanding:
    """Of a line whose only recipe has a golden part, and whose first check is due."""
    part = GoldenPart(name="good", recipe="cell", expect="pass", cameras=("top",))
    config = Config(
        recipes=(Recipe(name="cell", bank="x"),),
        cameras=(ImagesCamera(name="top", recipe="cell", folder="x"),),
        golden=GoldenSettings(parts=(part,), **rules),
    )
    schedule = GoldenSchedule(config.golden)
    found = GoldenStanding(
        config.golden.parts, RecipeBook(of_file(config)), lambda _: SHA, schedule, lambda: now_ns[0]
    )
    schedule.start(found.subjects(), now_ns[0], time.time_ns())
    return found


def test_until_when_parts_are_judged_is_said_and_what_comes_then() -> None:
    now_ns = [0]
    line = standing(now_ns, grace_minutes=15)
    now_ns[0] = 5 * MINUTE
    ((name, said),) = line.conditions({})
    found = re.fullmatch(
        f"recipe cell: its parts are judged until ({MINUTE_SAID}), from then on every part is undecidable "
        "until a check passes",
        said,
    )
    assert name == "golden_due"
    assert found, said
    left = datetime.fromisoformat(found[1]).timestamp() - time.time()
    assert 9 * 60 - 2 < left <= 10 * 60 + 2
    (status,) = line.status(None, {}, {})
    assert status.held_from_utc_ns is not None
    assert abs(status.held_from_utc_ns - time.time_ns() - 10 * MINUTE) < MINUTE
    now_ns[0] = 15 * MINUTE
    assert line.conditions({}) == [
        ("golden_overdue", "recipe cell: its parts are undecidable until a check passes")
    ]
    assert line.status(None, {}, {})[0].held_from_utc_ns is None


@pytest.mark.parametrize(("minutes", "name"), [(5, "golden_due"), (20, "golden_overdue")])
def test_where_an_interlock_only_warns_no_end_of_judging_is_said(minutes: int, name: str) -> None:
    now_ns = [0]
    line = standing(now_ns, grace_minutes=15, interlock="warn")
    now_ns[0] = minutes * MINUTE
    assert line.conditions({}) == [(name, "recipe cell: its parts are judged until a check passes")]
    assert line.status(None, {}, {})[0].held_from_utc_ns is None
