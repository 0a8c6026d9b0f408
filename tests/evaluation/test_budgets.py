from pathlib import Path

import numpy as np
import pytest
from support.banks import bank_of, sha256_of

from inspectd.bank.answers import accept
from inspectd.bank.file import BankFile
from inspectd.bank.threshold import default_threshold, tail_threshold
from inspectd.evaluation.budgets import BUDGETS, budgets_of, choice_of, smallest_shown, table_of
from inspectd.evaluation.calibrate import shown_rate

SCORES = np.random.default_rng(1).lognormal(0, 0.2, 400)


def test_each_budget_has_its_threshold_and_what_it_costs() -> None:
    rows = budgets_of(SCORES, default_threshold(SCORES)[0])
    assert tuple(row.false_reject_rate for row in rows) == BUDGETS
    for row, rate in zip(rows, BUDGETS, strict=True):
        assert row.threshold == tail_threshold(SCORES, rate)
        assert row.above == (row.threshold < SCORES).sum()
        assert row.shown_rate == shown_rate(400, row.above)
    assert [row.in_force for row in rows] == [rate == 0.02 for rate in BUDGETS]
    # 1 % takes 299 images, 0.5 % 598.
    assert [row.enough for row in rows] == [rate >= 0.01 for rate in BUDGETS]
    assert table_of(rows, 400)[3][-1] == "needs 598 images"
    assert table_of(rows, 400)[5][-1] == "in force"
    thresholds = [row.threshold for row in rows]
    assert thresholds == sorted(thresholds, reverse=True)


def test_the_smallest_budget_that_images_show_is_none_that_needs_more() -> None:
    # 1 % takes 299 good images, 2 % 149, 3 % 99, 5 % 59.
    shown = [smallest_shown(images, 0.01) for images in (9999, 299, 298, 90, 59, 58)]
    assert shown == [0.01, 0.01, 0.02, 0.05, 0.05, None]


@pytest.mark.parametrize("in_force", [-1.0, 0.5, 9.0])
def test_a_threshold_of_no_budget_has_a_row_of_its_own(in_force: float) -> None:
    first, *rows = budgets_of(SCORES, in_force)
    assert (first.false_reject_rate, first.threshold, first.in_force) == (None, in_force, True)
    assert first.above == (in_force < SCORES).sum()
    assert 0 < first.shown_rate <= 1
    assert not any(row.in_force for row in rows)
    assert table_of([first], 400)[1][0] == "in force"


def test_of_few_images_one_row_is_in_force_though_several_have_its_threshold() -> None:
    rows = budgets_of(SCORES[:30], SCORES[:30].max())
    assert [row.false_reject_rate for row in rows if row.in_force] == [0.02]


def test_the_threshold_with_and_without_each_image_unlike_the_rest() -> None:
    scores = np.append(SCORES, [30.0, 20.0])
    bank = bank_of(scores)
    choice = choice_of(bank)
    assert (choice.good_images, choice.set_aside) == (400, 2)
    base = default_threshold(SCORES)[0]
    first, second = choice.unlike_the_rest
    assert (first.name, first.sha256, first.status) == ("400.png", sha256_of(400), "open")
    assert first.threshold_with == default_threshold(scores[:401])[0]
    assert second.threshold_with == default_threshold(np.append(SCORES, 20.0))[0]
    assert first.threshold_without == second.threshold_without == base

    accepted = choice_of(BankFile(accept(Path("x"), bank, [400], None), bank.tensors, ""))
    first, second = accepted.unlike_the_rest
    assert (accepted.good_images, first.status) == (401, "accepted")
    assert first.threshold_without == base < first.threshold_with
    assert second.threshold_without == first.threshold_with < second.threshold_with


def test_a_bank_without_such_images_has_none_to_choose_from() -> None:
    choice = choice_of(bank_of(SCORES))
    assert (choice.set_aside, choice.unlike_the_rest) == (0, [])
