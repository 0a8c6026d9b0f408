from pathlib import Path

import numpy as np
import pytest
from support.banks import bank_of

from inspectd.bank.answers import accept
from inspectd.bank.file import GOOD_SCORES, BankFile
from inspectd.bank.reach import FURTHEST, reach_of


@pytest.fixture
def bank() -> BankFile:
    """A bank whose good scores are 0 to 4 and one that is unlike the rest."""
    return bank_of(np.append(np.linspace(0, 4, 41), 1e6))


def test_the_distance_is_in_units_of_the_banks_own_good_scores(bank: BankFile) -> None:
    near, far = reach_of(bank, 6.0), reach_of(bank, 2.05 + 1.001 * FURTHEST * 1.95)
    assert near is not None
    assert far is not None
    assert (near.images, near.above, near.highest, near.too_far) == (42, 1, 4.0, False)
    assert str(near).endswith("their median is 2.05, their highest 4, 1 unlike the rest left out")
    assert near.times == pytest.approx((6 - 2.05) / (4 - 2.05))
    assert far.too_far
    for sign in (1, -1):
        end = reach_of(bank, sign * 1.7e308)
        assert end is not None
        assert end.too_far is (sign > 0)


def test_an_outlier_counts_only_where_somebody_accepted_it(bank: BankFile) -> None:
    accepted = BankFile(accept(Path("x.bank"), bank, [41], None), bank.tensors, bank.sha256)
    for file, too_far in ((bank, True), (accepted, False)):
        reach = reach_of(file, 1e6)
        assert reach is not None
        assert reach.too_far is too_far


def test_what_cannot_be_known_is_said(bank: BankFile) -> None:
    bank.tensors[GOOD_SCORES] = np.ones(12)
    for threshold, too_far in ((1.0, False), (1.1, True)):
        reach = reach_of(bank, threshold)
        assert reach is not None
        assert reach.too_far is too_far
    del bank.tensors[GOOD_SCORES]
    assert reach_of(bank, 1.0) is None
