import shutil
from functools import partial
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from support.banks import bank_of
from support.cells import cells

from inspectd.backends.scorer import Scorer
from inspectd.bank.answers import accept
from inspectd.bank.file import GOOD_SCORES, Excluded, read_bank, write_bank
from inspectd.bank.images import find_images, pixel_digest, read_image
from inspectd.errors import InputError
from inspectd.evaluation.budgets import budgets_of, table_of
from inspectd.evaluation.calibrate import calibrate, interval
from inspectd.evaluation.recalibrate import GoodScores, recalibrate
from inspectd.evaluation.sensitivity import measure_sensitivity


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def bank(bank_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(bank_file, tmp_path / "x.bank"))


def test_the_threshold_is_written_and_used(bank: Path, good_folder: Path, mixed_folder: Path) -> None:
    before = read_bank(bank)
    defects = find_images(mixed_folder / "defective")
    result = recalibrate(
        bank, find_images(good_folder), defects, 0.2, device="cpu", progress=quiet, write=True
    )
    after = read_bank(bank)
    assert result.written
    assert result.calibration.images == 40
    assert result.from_the_bank == 0
    assert after.manifest.threshold == result.calibration.threshold != before.manifest.threshold
    assert after.manifest.is_calibrated
    assert not before.manifest.is_calibrated
    assert after.sha256 != before.sha256
    assert "shown at 95 % by 40 good images" in after.manifest.threshold_basis
    assert Scorer.load(bank, "cpu").info.threshold == after.manifest.threshold
    assert result.escapes is not None
    assert result.escapes.total == 20


def test_images_of_the_bank_are_never_scored_by_it(bank: Path) -> None:
    """They count with the scores they had when they were left out."""
    own = cells(defective=False)[0:60:2]
    result = recalibrate(bank, own, [], 0.5, device="cpu", progress=quiet, write=False)
    assert result.from_the_bank == 30
    scores = np.sort(read_bank(bank).tensors[GOOD_SCORES])
    assert result.calibration.threshold in scores
    alone = recalibrate(bank, None, [], 0.5, device="cpu", progress=quiet, write=False)
    assert alone.calibration == result.calibration


def test_what_somebody_took_out_as_a_defect_is_no_good_part_in_any_folder(
    bank: Path, good_folder: Path
) -> None:
    was, good = read_bank(bank), find_images(good_folder)
    frame = read_image(good[7])
    assert frame is not None
    gone = (Excluded("defect.png", pixel_digest(frame).tobytes().hex(), 1.0),)
    write_bank(bank, msgspec.structs.replace(was.manifest, excluded=gone), was.tensors)
    found = recalibrate(bank, good, [], 0.2, device="cpu", progress=quiet, write=True)
    assert found.good_images == len(good) - 1
    assert "was taken out of the bank as one that shows a defect" in found.skipped[str(good[7])]
    others = [path for path in good if path != good[7]]
    assert (
        found.calibration
        == recalibrate(bank, others, [], 0.2, device="cpu", progress=quiet, write=False).calibration
    )
    drawn_into = measure_sensitivity(bank, good, device="cpu", progress=quiet, each=1)
    assert list(drawn_into.result.skipped) == [str(good[7])]


def test_a_bank_that_was_changed_while_images_were_scored_is_not_overwritten(
    bank: Path, good_folder: Path
) -> None:
    was, good, other = read_bank(bank), find_images(good_folder), bank.with_name("other.bank")
    other_sha256 = write_bank(other, msgspec.structs.replace(was.manifest, threshold=1.0), was.tensors)

    def changed(_step: str, done: int, _total: int) -> None:
        if done == 2:
            shutil.copy(other, bank)

    with pytest.raises(InputError, match="was changed meanwhile; nothing was written, try again"):
        recalibrate(bank, good, [], 0.2, device="cpu", progress=changed, write=True)
    assert read_bank(bank).sha256 == other_sha256
    # Nor does it get a threshold that was found from another bank's scores of confirmed parts.
    earlier = GoodScores(np.linspace(0, 1, 100), list(map(str, range(100))), bank_sha256=was.sha256)
    with pytest.raises(InputError, match="was changed meanwhile"):
        recalibrate(bank, earlier, [], 0.2, device="cpu", progress=quiet, write=True)


def test_copies_of_a_picture_show_no_smaller_rate_and_no_picture_is_good_and_a_defect(
    bank: Path, good_folder: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    good, defects = find_images(good_folder)[:20], find_images(mixed_folder / "defective")[:2]
    copies = [Path(shutil.copy(path, tmp_path / path.name)) for path in [*good[:3], defects[0]]]
    asked = partial(recalibrate, bank, false_reject_rate=0.2, device="cpu", progress=quiet, write=False)
    found = asked([*good, *copies[:3]], [*defects, copies[3]])
    once = asked(good, defects)
    assert (found.calibration, found.escapes) == (once.calibration, once.escapes)
    assert list(found.skipped) == [str(path) for path in copies]
    assert f"has the same pixels as {good[0]}" in found.skipped[str(copies[0])]
    with pytest.raises(InputError, match=r"--images: .* and --defects: .* are the same picture"):
        asked(good, [*defects, copies[1]])


def test_a_rate_that_cannot_be_shown_leaves_the_bank(bank: Path, good_folder: Path) -> None:
    before = bank.read_bytes()
    images = find_images(good_folder)
    result = recalibrate(bank, images, [], 0.001, device="cpu", progress=quiet, write=True)
    assert not result.written
    assert result.calibration.images_needed == 2995
    assert bank.read_bytes() == before


def test_an_image_unlike_the_rest_is_set_aside_and_named(
    bank: Path, good_folder: Path, tmp_path: Path
) -> None:
    good, crack = find_images(good_folder), tmp_path / "crack.png"
    image = read_image(good[0])
    assert image is not None
    image[100:200, 100:200] = 0
    cv2.imwrite(str(crack), image)
    asked = partial(recalibrate, device="cpu", progress=quiet)
    clean = asked(bank, good, [], 0.1, write=False)
    spoilt = asked(bank, [*good, crack], [], 0.1, write=False)
    # Enough images for the rate: the odd one changes a rank, not more.
    assert clean.calibration.achieved
    assert spoilt.outliers == [*clean.outliers, str(crack)]
    assert spoilt.calibration == clean.calibration
    assert spoilt.threshold_with_outliers is not None
    assert spoilt.threshold_with_outliers > spoilt.calibration.threshold
    assert spoilt.shown_rate_with_outliers is not None
    assert spoilt.shown_rate_with_outliers > spoilt.calibration.shown_rate
    vouched = asked(bank, [*good, crack], [], 0.1, write=True, keep_outliers=True)
    assert vouched.calibration.threshold == spoilt.threshold_with_outliers
    assert read_bank(bank).manifest.is_calibrated


def test_an_accepted_image_counts_and_to_vouch_for_all_accepts_the_banks_own(tmp_path: Path) -> None:
    bank = bank_of(np.append(np.random.default_rng(0).normal(size=60), 50.0))
    write_bank(tmp_path / "x.bank", bank.manifest, bank.tensors)
    asked = partial(recalibrate, tmp_path / "x.bank", None, [], 0.1, device="cpu", progress=quiet)
    aside = asked(write=False)
    assert (aside.good_images, aside.outliers) == (60, ["60.png"])
    write_bank(tmp_path / "x.bank", accept(tmp_path, bank, [60], None), bank.tensors)
    counted = asked(write=False)
    assert (counted.good_images, counted.outliers) == (61, [])
    write_bank(tmp_path / "x.bank", bank.manifest, bank.tensors)
    assert asked(write=True, keep_outliers=True).calibration == counted.calibration
    assert read_bank(tmp_path / "x.bank").manifest.unanswered == []


def test_scores_of_confirmed_parts_serve_as_images_do_and_without_a_rate_nothing_is_written(
    bank: Path,
) -> None:
    before = bank.read_bytes()
    scores = GoodScores(np.linspace(0, 3, 400), [f"5:{n}" for n in range(400)], kind="confirmed parts")
    asked = partial(recalibrate, bank, scores, [], device="cpu", progress=quiet)
    table = asked(None, write=True)
    assert bank.read_bytes() == before
    assert (table.calibration, table.written, table.good_images) == (None, False, 400)
    assert [row.images_needed for row in table.budgets][-1] == 59
    assert asked(0.01, write=True).written
    manifest = read_bank(bank).manifest
    assert manifest.threshold in scores.values
    assert manifest.threshold_basis.endswith("by 400 confirmed parts")


def test_a_part_counts_once_by_the_highest_of_its_views(bank: Path) -> None:
    values = np.repeat(np.linspace(0, 3, 200), 2)
    values[::2] -= 0.001
    scores = GoodScores(values, [f"5:{n}" for n in range(400)], parts=np.repeat(np.arange(200), 2))
    asked = partial(recalibrate, bank, scores, [], device="cpu", progress=quiet, write=False)
    few = asked(0.01).calibration
    assert few is not None
    assert (few.images, few.achieved) == (200, False)  # 299 parts show it, and 400 views do not
    enough = asked(0.02)
    assert enough.calibration == calibrate(values[1::2], 0.02)
    assert (enough.good_images, enough.budgets) == (200, budgets_of(values[1::2], enough.threshold_before))


def test_what_passes_of_the_defects_is_said_of_each_threshold_and_of_parts_where_they_are_named(
    bank: Path, mixed_folder: Path
) -> None:
    defects = sorted((mixed_folder / "defective").iterdir())
    by_image, by_part = (
        recalibrate(bank, None, defects, None, device="cpu", progress=quiet, write=False, parts=parts)
        for parts in (None, {str(path): str(number // 2) for number, path in enumerate(defects)})
    )
    scorer = Scorer.load(bank, "cpu")
    scores = np.array([scorer.score([read_image(path)])[0].image_score for path in defects])
    lowest = scores.reshape(-1, 2).min(axis=1)
    for result, values in ((by_image, scores), (by_part, lowest)):
        for row in result.budgets:
            assert row.defects_pass == interval(int((values <= row.threshold).sum()), len(values))
        assert result.escapes == interval(int((values <= result.threshold_before).sum()), len(values))
        headings, first, *_ = table_of(result.budgets, result.good_images)
        passing = result.budgets[0].defects_pass
        assert passing is not None
        assert (headings[4], first[4]) == ("defects pass", f"{passing.count} of {len(values)}")
    assert by_part.escapes is not None
    assert 0 < by_part.escapes.count < by_part.escapes.total == 10


def test_defects_the_bank_was_built_from_are_named(bank: Path, mixed_folder: Path) -> None:
    own = cells(defective=False)[0]
    defects = [*find_images(mixed_folder / "defective")[:3], own]
    result = recalibrate(bank, None, defects, 0.5, device="cpu", progress=quiet, write=False)
    assert result.defects_from_the_bank == [str(own)]
    assert result.escapes is not None
    assert result.escapes.total == 4


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0])
def test_a_rate_that_is_none_is_refused(bank: Path, rate: float) -> None:
    with pytest.raises(InputError, match="expected a share between 0 and 1"):
        recalibrate(bank, None, [], rate, device="cpu", progress=quiet, write=True)


def test_a_threshold_that_would_pass_clear_defects_is_not_stored(bank: Path) -> None:
    before = bank.read_bytes()
    usual = float(read_bank(bank).tensors[GOOD_SCORES].max())
    rejects = GoodScores(np.linspace(0.5 * usual, 40 * usual, 100), [str(n) for n in range(100)])
    with pytest.raises(InputError, match=r"is unchanged.*times as far above the median as the highest"):
        recalibrate(bank, rejects, [], 0.05, device="cpu", progress=quiet, write=True)
    assert bank.read_bytes() == before


def test_a_threshold_that_rejects_all_shows_that_every_part_may_be_rejected(tmp_path: Path) -> None:
    bank = bank_of(np.random.default_rng(0).normal(1, 0.1, 200))
    path = tmp_path / "x.bank"
    write_bank(path, bank.manifest, bank.tensors)
    scores = GoodScores(
        np.append(np.random.default_rng(1).normal(3, 0.1, 100), 50.0), list(map(str, range(101)))
    )
    found = recalibrate(path, scores, [], None, device="cpu", progress=quiet, write=False)
    assert (found.outliers, found.shown_rate_with_outliers) == (["100"], 1.0)
