"""While a camera rejects part after part, no part of it is called good."""

from __future__ import annotations

import numpy as np
import pytest
from support.teaching import DAY_NS, INSPECTOR, OPERATOR, TaughtLine

from inspectd.errors import InputError
from inspectd.teach.answering import confirm, mark
from inspectd.teach.reject_runs import MOST_REJECTS
from inspectd.wire import Evaluation

PASS, FAIL = Evaluation.PASS, Evaluation.FAIL
SECOND_NS = 10**9


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)


def judge(line: TaughtLine, word: str, apart_seconds: int = 1) -> None:
    """Parts so far apart: `f` for a reject, `p` for a pass, `u` for an undecidable one."""
    line.apart_ns, line.passes_between = apart_seconds * SECOND_NS, 0
    for letter in word:
        line.keep(noise(line.seq), {"f": FAIL, "p": PASS, "u": Evaluation.UNDECIDABLE}[letter])


@pytest.mark.parametrize("word", [each * (MOST_REJECTS + 1) for each in ("f", "pf", "uuf")])
def test_nothing_is_called_good_during_a_run_of_rejects(line: TaughtLine, word: str) -> None:
    judge(line, word)
    part = line.keep(noise(999), FAIL)
    with pytest.raises(
        InputError, match=r"top: \d+ of \d+ parts until now were rejected, expected at most 9 of 20"
    ):
        mark(line.place, part, "good", OPERATOR)
    escape = line.keep(noise(1000), PASS)
    assert mark(line.place, escape, "bad", OPERATOR).answer == "bad"  # an escape is no less one


@pytest.mark.parametrize("apart_seconds", [130, 4000])
def test_a_slow_line_has_runs_of_rejects_too(line: TaughtLine, apart_seconds: int) -> None:
    judge(line, "pf" * 10, apart_seconds)
    part = line.keep(noise(999), FAIL)
    with pytest.raises(InputError, match="parts until now were rejected"):
        mark(line.place, part, "good", OPERATOR)


def test_the_parts_around_one_are_those_before_and_after_it(line: TaughtLine) -> None:
    judge(line, "f" * 5)
    part = line.keep(noise(999), FAIL)
    judge(line, "f" * 4 + "p" * 20)  # the journal begins with the run: fewer lie before the part
    with pytest.raises(InputError, match="10 of 20 parts around this one were rejected"):
        mark(line.place, part, "good", OPERATOR)
    late = line.keep(noise(1000), FAIL)
    judge(line, "p" * 3)
    assert mark(line.place, late, "good", OPERATOR).answer == "good"


def test_a_part_of_a_run_is_not_called_good_when_the_run_is_over(line: TaughtLine) -> None:
    judge(line, "fu" * 12)
    part = line.keep(noise(999), FAIL)
    judge(line, "up" * 20)
    with pytest.raises(InputError, match="parts around this one were rejected"):
        mark(line.place, part, "good", OPERATOR)


def test_rejects_among_passes_or_of_another_time_are_no_run(line: TaughtLine) -> None:
    judge(line, "fpp" * 12)
    line.now_ns += DAY_NS
    judge(line, "ff")
    mark(line.place, line.keep(noise(999), FAIL), "good", OPERATOR)


def test_nothing_is_confirmed_as_good_during_a_run(line: TaughtLine) -> None:
    case = mark(line.place, line.keep(noise(999), FAIL), "good", OPERATOR)
    judge(line, "f" * 12)
    with pytest.raises(InputError, match="parts until now were rejected"):
        confirm(line.place, case.id, INSPECTOR)
    line.now_ns += DAY_NS
    assert confirm(line.place, case.id, INSPECTOR).state == "confirmed"


def test_what_the_journal_does_not_tell_is_refused(line: TaughtLine) -> None:
    part = line.keep(noise(999), FAIL)
    line.judged.clear()
    with pytest.raises(InputError, match=r"journal does not have verdict 7:1 any more"):
        mark(line.place, part, "good", OPERATOR)
