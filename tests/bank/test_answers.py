from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.banks import bank_of, sha256_of

from inspectd.bank.answers import accept, aside_mask, outliers_of, row_of
from inspectd.bank.file import IMAGE_DIGESTS, BankFile, read_bank, write_bank
from inspectd.bank.threshold import default_threshold
from inspectd.cli.bank_accept import image_sha256
from inspectd.errors import BankError, InputError

SCORES = np.append(np.random.default_rng(0).normal(size=200), [40.0, 60.0])
PATH = Path("x.bank")


def test_an_accepted_image_counts_in_the_threshold_and_the_others_do_not() -> None:
    bank = bank_of(SCORES)
    assert aside_mask(bank).nonzero()[0].tolist() == [200, 201]
    manifest = accept(PATH, bank, [200], None)
    after = BankFile(manifest, bank.tensors, "")
    assert after.scoring_sha256 == bank.scoring_sha256  # no model is converted again
    assert aside_mask(after).nonzero()[0].tolist() == [201]
    assert manifest.unanswered == ["201.png"]
    assert manifest.threshold == default_threshold(SCORES[:201])[0] > bank.manifest.threshold
    assert manifest.threshold_with_outliers == default_threshold(SCORES)[0]
    assert "201 cross-fitted good scores" in manifest.threshold_basis
    assert "1 unlike the rest set aside" in manifest.threshold_basis
    both = accept(PATH, after, [201], None)
    assert (both.unanswered, both.threshold_with_outliers) == ([], None)
    assert accept(PATH, after, [200], None) == manifest


def test_an_image_that_counts_anyway_is_refused() -> None:
    with pytest.raises(InputError, match=r"is not unlike the rest .* counts in the threshold"):
        accept(PATH, bank_of(SCORES), [7], None)


def test_a_calibrated_threshold_is_replaced_only_if_that_is_said() -> None:
    bank = bank_of(SCORES, threshold=3.25, threshold_basis="rate 1% shown", calibrated=True)
    with pytest.raises(
        InputError, match=r"3.25 was set by calibrate .*--keep-threshold .*--replace-threshold"
    ):
        accept(PATH, bank, [200], None)
    kept = accept(PATH, bank, [200], "keep")
    assert (kept.threshold, kept.threshold_basis, kept.is_calibrated) == (3.25, "rate 1% shown", True)
    assert kept.unanswered == ["201.png"]
    assert kept.threshold_with_outliers == bank.manifest.threshold_with_outliers
    assert accept(PATH, bank, [200, 201], "keep").threshold_with_outliers is None
    found = accept(PATH, bank, [200], "default")
    assert found.threshold == default_threshold(SCORES[:201])[0]
    assert not found.is_calibrated


def test_the_threshold_of_an_earlier_rule_is_not_replaced_unasked_either() -> None:
    bank = bank_of(SCORES, threshold=2.875, threshold_basis="1.0% of 200 scores above", calibrated=None)
    with pytest.raises(InputError, match=r"2.875 is not that of the default rule \(1.0% of 200"):
        accept(PATH, bank, [200], None)
    assert accept(PATH, bank, [200], "keep").threshold == 2.875


def test_banks_of_earlier_versions_say_by_their_words_who_set_the_threshold() -> None:
    for basis, calibrated in (
        ("rate 1.0% shown at 95 % by 299 good images", True),
        ("2.0% of 300 ...", False),
    ):
        bank = bank_of(SCORES, threshold_basis=basis, calibrated=None)
        assert bank.manifest.is_calibrated is calibrated


def test_images_are_named_by_the_first_digits_of_their_sha256() -> None:
    bank = bank_of(SCORES)
    assert row_of(PATH, bank, sha256_of(42)[:12], "x") == 42
    with pytest.raises(InputError, match=r"gone.png: none of the 202 images of bank x.bank"):
        row_of(PATH, bank, "0" * 64, "gone.png")
    with pytest.raises(InputError, match="more than one of the 202 images"):
        row_of(PATH, bank, "", "x")
    del bank.tensors[IMAGE_DIGESTS]
    with pytest.raises(BankError, match="does not record the images"):
        row_of(PATH, bank, "0" * 64, "x")
    assert outliers_of(bank) == {}
    assert aside_mask(bank).sum() == 2


def test_a_bank_whose_outliers_were_vouched_for_together_has_them_accepted(tmp_path: Path) -> None:
    bank = bank_of(SCORES, outliers_count=True)
    write_bank(tmp_path / "old.bank", bank.manifest, bank.tensors)
    manifest = read_bank(tmp_path / "old.bank").manifest
    assert [image.status for image in manifest.outliers] == ["accepted", "accepted"]
    assert not manifest.outliers_count


def test_outliers_that_an_earlier_version_did_not_record_can_be_accepted() -> None:
    bank = bank_of(SCORES, outliers=())
    manifest = accept(PATH, bank, [201], None)
    assert [image.status for image in manifest.outliers] == ["open", "accepted"]
    assert manifest.outliers[1] == msgspec.structs.replace(
        bank_of(SCORES).manifest.outliers[1], name=sha256_of(201)[:12], status="accepted"
    )


def test_a_name_that_is_no_file_here_is_told_so(tmp_path: Path) -> None:
    """A table of images has their names alone, which are files in another folder."""
    with pytest.raises(InputError, match=r"^293\.jpg: no such file; expected the path of an image, or"):
        image_sha256("293.jpg", 8)
