from __future__ import annotations

import re

import pytest

from inspectd.cli.check_times import slow_scoring, slow_start
from inspectd.config import Recipe, ScoringSettings
from inspectd.records import Pace


@pytest.mark.parametrize(
    ("own_ms", "one_ms", "said"),
    [
        (None, 50.0, None),
        (
            None,
            51.0,
            "line.deadline_ms: is 100 ms, .* takes 51.0 ms .*: on a busy machine parts would be .* 102 ms",
        ),
        (
            20.0,
            20.0,
            r"recipes\[0\].deadline_ms: is 20 ms, .*: every part would be undecidable; expected 40 ms",
        ),
        (200.0, 100.0, None),
    ],
)
def test_a_deadline_leaves_half_of_its_time_for_all_but_scoring(own_ms, one_ms, said):
    recipe = Recipe(name="cell", bank="cell.bank", deadline_ms=own_ms)
    warnings = list(slow_scoring("recipes[0]", recipe, 100.0, Pace("cell", one_ms, one_ms)))
    assert len(warnings) == (said is not None)
    assert said is None or re.match(said, warnings[0])


def test_a_start_that_takes_more_than_half_of_its_time_is_warned_of():
    scoring = ScoringSettings(start_timeout_seconds=10)
    assert not list(slow_start(scoring, 5.0))
    (warning,) = slow_start(scoring, 5.1)
    assert "scoring.start_timeout_seconds: is 10 s, and to load the banks took 5.1 s here" in warning
    assert warning.endswith("expected 10 s or more")
