from pathlib import Path

import numpy as np
import pytest
from support.banks import bank_of

from inspectd import cli, config
from inspectd.bank.answers import accept
from inspectd.bank.file import GOOD_SCORES, BankFile, write_bank
from inspectd.bank.reach import FURTHEST, admit_threshold, reach_of
from inspectd.errors import InputError, ThresholdError
from inspectd.evaluation.recalibrate import GoodScores, recalibrate


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


def test_a_threshold_that_no_picture_exceeds_is_set_and_admitted_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where an imported model's score is cut off: parts of another day score what nothing is above."""
    bank, path = bank_of(np.append(np.linspace(0, 4, 41), 100.0), highest_odd=5.0), tmp_path / "x.bank"
    write_bank(path, bank.manifest, bank.tensors)
    before, nothing = path.read_bytes(), r"no picture scores above the threshold 5: .* score 5 at most"
    capped = GoodScores(np.append(np.linspace(0, 4, 80), [5.0] * 20), list(map(str, range(100))))
    with pytest.raises(InputError, match=f"is unchanged: {nothing}"):
        recalibrate(path, capped, [], 0.05, device="cpu", progress=lambda *_: None, write=True)
    assert cli.main(["bank", "accept", str(path), bank.manifest.outliers[0].sha256[:12], "--yes"]) == 2
    assert "no picture scores above the threshold 100" in capsys.readouterr().err
    assert path.read_bytes() == before
    with pytest.raises(ThresholdError, match=nothing):
        admit_threshold(config.Recipe(name="r", bank=str(path), threshold=5.0))
    meant = config.Recipe(name="r", bank=str(path), threshold=5.0, accept_threshold=True)
    assert "no picture scores above" in admit_threshold(meant).warning
    assert admit_threshold(config.Recipe(name="r", bank=str(path), threshold=4.9)).problem == ""
