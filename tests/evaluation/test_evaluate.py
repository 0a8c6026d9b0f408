import re
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from PIL import Image
from support.banks import bank_of
from support.cells import cells
from support.pages import Tags

from inspectd.backends.scorer import Scorer
from inspectd.bank.file import GOOD_SCORES, IMAGE_DIGESTS, read_bank, write_bank
from inspectd.bank.images import read_image
from inspectd.cli.bank_evaluate import next_steps
from inspectd.errors import InputError
from inspectd.evaluation.calibrate import calibrate, interval
from inspectd.evaluation.dataset import LabelledImage, read_dataset
from inspectd.evaluation.evaluate import ClassResult, Judgement, class_cells, class_headings, evaluate
from inspectd.evaluation.report import write_report


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


@pytest.fixture(scope="module")
def judgement(bank_file: Path, mixed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    """The mixed cells, one of them with a mask, and one file that is no image."""
    folder = tmp_path_factory.mktemp("data")
    mask = np.zeros((300, 300), np.uint8)
    mask[100:200, 100:200] = 255
    cv2.imwrite(str(folder / "mask.png"), mask)
    (folder / "broken.png").write_bytes(b"nothing")
    images = read_dataset(mixed_folder).images
    images[0] = LabelledImage(images[0].path, images[0].label, folder / "mask.png")
    return evaluate(bank_file, [*images, LabelledImage(folder / "broken.png", "good")], "cpu", quiet)


def test_the_figures_follow_from_the_scores(judgement: Judgement) -> None:
    result = judgement.report
    above = [item.score > result.threshold for item in judgement.judged]
    truth = [item.image.defective for item in judgement.judged]
    assert result.images == 40
    assert result.false_reject_rate == sum(a and not t for a, t in zip(above, truth, strict=True)) / 20
    assert result.escape_rate == sum(t and not a for a, t in zip(above, truth, strict=True)) / 20
    assert result.image_auroc > 0.8
    assert result.pixel_auroc is not None
    assert [Path(name).name for name in result.skipped] == ["broken.png"]
    assert result.other_sizes == 0
    assert [(row.label, row.images) for row in result.classes] == [("defective", 20), ("good", 20)]
    assert [cells[:2] for cells in class_cells(result)] == [
        ("defective", "20"),
        ("good, falsely rejected", "20"),
    ]
    assert 0 < result.latency_ms["p50"] <= result.latency_ms["p99"]


def test_classes_of_defects_are_shown_by_what_is_found_of_each(judgement: Judgement) -> None:
    """The one that is found least first; good parts last, by what is falsely rejected of them."""
    result = msgspec.structs.replace(
        judgement.report,
        escapes=interval(12, 40),
        classes=[
            ClassResult("crack", 10, interval(9, 10), 5.0),
            ClassResult("good", 50, interval(1, 50), 0.5),
            ClassResult("stain", 30, interval(19, 30), 3.0),
        ],
    )
    rows = [(label, images, found) for label, images, found, *_ in class_cells(result)]
    assert rows == [
        ("stain", "30", "19 = 63.3%"),
        ("crack", "10", "9 = 90.0%"),
        ("all defects", "40", "28 = 70.0%"),
        ("good, falsely rejected", "50", "1 = 2.0%"),
    ]


def test_a_part_counts_once_by_its_worst_image(
    judgement: Judgement, bank_file: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    """A good one is rejected if one of its images is, a defective one escapes if one of them passes."""
    kinds = {False: 0, True: 0}
    images = []
    for image in read_dataset(mixed_folder).images:
        images.append(replace(image, part=f"{kinds[image.defective] // 2}"))
        kinds[image.defective] += 1
    found = evaluate(bank_file, images, "cpu", quiet)
    result, threshold = found.report, found.report.threshold
    scores = {kind: [item.score for item in found.judged if item.image.defective is kind] for kind in kinds}
    pairs = {kind: list(zip(of_kind[::2], of_kind[1::2], strict=True)) for kind, of_kind in scores.items()}
    rejected = sum(score > threshold for score in map(max, pairs[False]))
    missed = sum(score <= threshold for score in map(min, pairs[True]))
    assert 0 < missed < 10  # else this shows nothing
    assert (result.parts, result.images) == (20, 40)
    assert result.false_rejects == interval(rejected, 10)
    assert result.escapes == interval(missed, 10)
    assert [(row.label, row.images, row.failed) for row in result.classes] == [
        ("defective", 20, interval(10 - missed, 10)),
        ("good", 20, interval(rejected, 10)),
    ]
    assert class_headings(result)[1] == "parts"
    assert (result.image_auroc, judgement.report.parts) == (judgement.report.image_auroc, None)
    write_report(tmp_path / "report.html", found, "cells")
    assert "The images show 20 parts. In rates each counts once" in (tmp_path / "report.html").read_text()
    (_, then) = next_steps(
        Path("x.bank"), bank_of(np.linspace(1.0, threshold, 100), threshold=threshold), found
    )
    assert (
        f"{threshold:.4f}, {missed} of 10 defects pass and {rejected} of 10 good parts are rejected" in then
    )


@pytest.mark.parametrize(
    ("lowest_defect", "at", "first", "said"),
    [
        (150.0, 90.0, "--false-reject-rate 0.03 (0.01 takes --images GOOD with 299 or more)", None),
        # By the rate's threshold, 100, defects would pass that do not: it is not suggested alone.
        (92.0, 90.0, "--defects DEFECTS (", "of 20 defects pass and 0 of 20 good images are rejected"),
        (80.0, 90.0, "--defects DEFECTS (", "of 20 defects pass and 0 of 20 good images are rejected"),
        # It would be lower, so that fewer pass, and more good images are rejected.
        (99.5, 120.0, "--defects DEFECTS (", "of 20 defects pass and 0 of 20 good images are rejected"),
    ],
)
def test_a_threshold_that_lets_defects_pass_is_not_suggested_without_saying_so(
    lowest_defect: float, at: float, first: str, said: str | None, judgement: Judgement
) -> None:
    bank = bank_of(np.linspace(1.0, 100.0, 100), threshold=at)
    judged = []
    for kind, begin in ((False, 10.0), (True, lowest_defect)):
        of_kind = [item for item in judgement.judged if item.image.defective is kind]
        judged += [replace(item, score=begin + number) for number, item in enumerate(of_kind)]
    passing = sum(item.image.defective and item.score <= at for item in judged)
    report = msgspec.structs.replace(judgement.report, escapes=interval(passing, 20), threshold=at)
    steps = list(next_steps(Path("x.bank"), bank, Judgement(report, judged)))
    assert steps[0].startswith(f"next: inspectd bank calibrate x.bank {first}")
    assert (len(steps) == 1) == (said is None)
    if said is not None:
        assert f"By the one in force {passing} of 20 pass" in steps[0]
        threshold = calibrate(np.linspace(1.0, 100.0, 100), 0.03).threshold
        then = sum(item.image.defective and item.score <= threshold for item in judged)
        assert steps[1].startswith("then: inspectd bank calibrate x.bank --false-reject-rate 0.03")
        assert f", {threshold:.4f}, {then} {said}" in steps[1]


def test_where_no_rate_is_shown_what_passes_is_said_to_be_looked_at_first(judgement: Judgement) -> None:
    report = msgspec.structs.replace(judgement.report, escapes=interval(3, 20))
    first, then = next_steps(
        Path("x.bank"), bank_of(np.linspace(1.0, 2.0, 20)), replace(judgement, report=report)
    )
    assert "--defects DEFECTS" in first
    assert "By the one in force 3 of 20 pass" in first
    assert (
        "--images GOOD --false-reject-rate 0.05 (GOOD: 59 or more): with --defects DEFECTS --dry-run" in then
    )


def test_the_scores_are_the_daemons(judgement: Judgement, bank_file: Path) -> None:
    scorer = Scorer.load(bank_file, "cpu")
    frames = [read_image(item.image.path) for item in judgement.judged[:6]]
    results = scorer.score([frame for frame in frames if frame is not None])
    for item, result in zip(judgement.judged, results, strict=False):
        assert result.image_score == pytest.approx(item.score, rel=1e-3, abs=1e-3)


def test_the_banks_own_images_count_with_the_scores_they_had_when_left_out(
    bank_file: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    own = [LabelledImage(path, "good") for path in cells(defective=False)[0:20:2]]
    mislabelled = LabelledImage(cells(defective=False)[20], "dent")
    images = [*read_dataset(mixed_folder).images[:25], *own, mislabelled]
    judgement = evaluate(bank_file, images, "cpu", quiet)
    assert judgement.report.from_the_bank == [str(image.path) for image in (*own, mislabelled)]
    assert [item.score for item in judgement.judged[25:]] == read_bank(bank_file).tensors[GOOD_SCORES][
        :11
    ].tolist()
    assert not any(item.from_the_bank for item in judgement.judged[:25])
    write_report(tmp_path / "r.html", judgement, "own")
    assert "11 of 36 images are those the bank was" in (tmp_path / "r.html").read_text()


def test_a_bank_that_does_not_tell_its_images_is_said_to(
    bank_file: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    bank = read_bank(bank_file)
    del bank.tensors[IMAGE_DIGESTS]
    write_bank(tmp_path / "old.bank", bank.manifest, bank.tensors)
    judgement = evaluate(tmp_path / "old.bank", read_dataset(mixed_folder).images[15:25], "cpu", quiet)
    assert judgement.report.from_the_bank is None
    write_report(tmp_path / "r.html", judgement, "old")
    assert "does not record the images it was built from" in (tmp_path / "r.html").read_text()


def test_images_of_sizes_the_daemon_would_not_judge_are_counted(
    bank_file: Path, mixed_folder: Path, tmp_path: Path
) -> None:
    images = [*read_dataset(mixed_folder).images[:1], *read_dataset(mixed_folder).images[-1:]]
    for name, grey in (("good", 90), ("dent", 120)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((64, 64, 3), grey, np.uint8))
        images.append(LabelledImage(tmp_path / f"{name}.png", name))
    assert evaluate(bank_file, images, "cpu", quiet).report.other_sizes == 2


def test_the_report_is_one_whole_page(judgement: Judgement, tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", judgement, "cells <&> tiles")
    text = (tmp_path / "r.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.images > 0
    assert "cells &lt;&amp;&gt; tiles" in text
    assert f"{judgement.report.image_auroc:.4f}" in text
    assert not re.search(r"(src|href)=.https?:", text)


def test_a_data_set_that_cannot_be_read_says_so(bank_file: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    images = [LabelledImage(tmp_path / "a.png", "good"), LabelledImage(tmp_path / "b.png", "dent")]
    with pytest.raises(InputError, match="0 images can be read, 2 not"):
        evaluate(bank_file, images, "cpu", quiet)


def test_a_mask_that_is_not_of_its_image_is_refused(bank_file: Path, tmp_path: Path) -> None:
    """Stretched over a picture that its EXIF turns, it would give figures of pixels that mean nothing."""
    good, defective = tmp_path / "good.jpg", tmp_path / "turned.jpg"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    picture.save(good)
    turned = Image.Exif()
    turned[0x112] = 6  # the orientation
    picture.save(defective, exif=turned)

    def asked(shape: tuple[int, int]) -> float | None:
        mask = np.zeros(shape, np.uint8)
        mask[shape[0] // 10 : shape[0] // 4, shape[1] // 10 : shape[1] // 2] = 255
        cv2.imwrite(str(tmp_path / "mask.png"), mask)
        images = [LabelledImage(good, "good"), LabelledImage(defective, "spot", tmp_path / "mask.png")]
        return evaluate(bank_file, images, "cpu", quiet).report.pixel_auroc

    with pytest.raises(InputError, match=r"mask .*mask\.png: is 300x200, its image .*turned\.jpg is 200x300"):
        asked((200, 300))
    assert asked((300, 200)) == pytest.approx(asked((150, 100)), abs=0.01)


def test_a_copy_in_another_file_counts_once_and_is_not_both_good_and_a_defect(
    bank_file: Path, tmp_path: Path
) -> None:
    """Counted twice, the same few pictures would show narrower intervals than they can."""
    good, defective = cells(defective=False)[0], cells(defective=True)[0]
    for path, of in (("good.bmp", good), ("crack.bmp", defective)):
        cv2.imwrite(str(tmp_path / path), cv2.imread(str(of)))
    data = [
        LabelledImage(good, "good"), LabelledImage(tmp_path / "good.bmp", "good"),
        LabelledImage(defective, "crack"), LabelledImage(tmp_path / "crack.bmp", "stain"),
    ]  # fmt: skip
    result = evaluate(bank_file, data, "cpu", quiet).report
    assert (result.images, result.escapes.total, result.false_rejects.total) == (2, 1, 1)
    assert {Path(name).name: said.split(", ")[-1] for name, said in result.skipped.items()} == {
        "good.bmp": "so it shows nothing more",
        "crack.bmp": "so it shows nothing more",
    }
    data[3] = LabelledImage(tmp_path / "crack.bmp", "good")
    with pytest.raises(InputError, match=r"label 'crack'\) and .*crack\.bmp \(label 'good'\) are the same"):
        evaluate(bank_file, data, "cpu", quiet)


def test_a_mask_that_marks_nothing_is_named_and_in_no_figure_of_pixels(
    bank_file: Path, tmp_path: Path
) -> None:
    """Else its defect would count as clear, and finding it as a false alarm."""
    mask = np.zeros((300, 300), np.uint8)
    cv2.imwrite(str(tmp_path / "empty.png"), mask)
    mask[100:200, 100:200] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    good, (marked, unmarked) = cells(defective=False)[0], cells(defective=True)[:2]
    data = [LabelledImage(good, "good"), LabelledImage(marked, "crack", tmp_path / "mask.png")]
    without = evaluate(bank_file, [*data, LabelledImage(unmarked, "crack")], "cpu", quiet).report
    data.append(LabelledImage(unmarked, "crack", tmp_path / "empty.png"))
    result = evaluate(bank_file, data, "cpu", quiet).report
    assert result.empty_masks == [str(unmarked)]
    assert (result.images, result.escapes.total) == (3, 2)
    assert (result.pixel_auroc, result.aupro) == (without.pixel_auroc, without.aupro)


def test_a_defect_where_a_mask_leaves_places_out_is_missed_and_good_pixels_there_do_not_count(
    bank_file: Path, tmp_path: Path
) -> None:
    bank = read_bank(bank_file)
    places = np.ones(bank.tensors["head.mean"].shape[-2:], np.float32)
    places[:, : places.shape[1] // 2] = 0  # the left half
    write_bank(tmp_path / "masked.bank", bank.manifest, bank.tensors | {"head.mask": places})
    good, defective = cells(defective=False)[1], cells(defective=True)[0]
    for side, found in (("left", False), ("right", True)):
        mask = np.zeros((300, 300), np.uint8)
        mask[100:200, 20:60] = 255
        cv2.imwrite(str(tmp_path / "mask.png"), mask if side == "left" else mask[:, ::-1])
        images = [LabelledImage(good, "good"), LabelledImage(defective, "spot", tmp_path / "mask.png")]
        report = evaluate(tmp_path / "masked.bank", images, "cpu", quiet).report
        assert report.pixel_auroc is not None
        assert (report.pixel_auroc > 0) is found


def test_defects_are_looked_for_where_the_bank_looks_and_each_counts_however_small(
    bank_file: Path, tmp_path: Path
) -> None:
    """A bank of right halves: a spot there is found at its place, one on the left is missed."""
    bank = read_bank(bank_file)
    half = msgspec.structs.replace(bank.manifest.patch_options, region=(0.5, 0.0, 0.5, 1.0))
    write_bank(
        tmp_path / "half.bank", msgspec.structs.replace(bank.manifest, patch_options=half), bank.tensors
    )
    good = cv2.imread(str(cells(defective=False)[1]))
    cv2.imwrite(str(tmp_path / "good.png"), good)

    def asked(column: int, pixels: int) -> tuple[float, float]:
        spot, mask = good.copy(), np.zeros(good.shape[:2], np.uint8)
        cv2.circle(spot, (column, 150), 25, (255, 255, 255), -1)
        mask[150 - pixels // 2 : 151 + pixels // 2, column - pixels // 2 : column + 1 + pixels // 2] = 255
        cv2.imwrite(str(tmp_path / "spot.png"), spot)
        cv2.imwrite(str(tmp_path / "mask.png"), mask)
        images = [
            LabelledImage(tmp_path / "good.png", "good"),
            LabelledImage(tmp_path / "spot.png", "spot", tmp_path / "mask.png"),
        ]
        judged = evaluate(tmp_path / "half.bank", images, "cpu", quiet)
        assert judged.report.region == (0.5, 0.0, 0.5, 1.0)
        write_report(tmp_path / "r.html", judged, "half")
        assert judged.report.pixel_auroc is not None
        assert judged.report.aupro is not None
        return judged.report.pixel_auroc, judged.report.aupro

    found = asked(225, 25)
    assert found[0] > 0.97
    assert found[1] > 0.9
    assert asked(75, 25)[0] < 0.5  # nobody looked there
    assert asked(225, 1)[1] > 0.9
