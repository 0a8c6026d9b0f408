import json
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from support.cells import cells

from inspectd import cli
from inspectd.bank.file import IMAGE_DIGESTS, read_bank, write_bank
from inspectd.bank.own_images import OwnImages
from inspectd.errors import InputError
from inspectd.evaluation.drawn_defects import (
    WHOLE,
    GoodImage,
    ScoredPaste,
    found_share,
    score_pastes,
    size_range,
)
from inspectd.evaluation.paste_plan import PlannedPaste, plan_pastes
from inspectd.evaluation.sensitivity import (
    SensitivityRun,
    _good_images,
    by_kind,
    by_place,
    measure_sensitivity,
    threshold_at,
)
from inspectd.evaluation.sensitivity_report import write_sensitivity_report
from inspectd.evaluation.synthetic import Frame


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


@pytest.fixture(scope="module")
def run(bank_file: Path) -> SensitivityRun:
    """12 pastes a kind and contrast, in 14 cells; with 3 of the bank's own and a file that is no image."""
    good = cells(defective=False)
    paths = [*good[1:29:2], *good[0:6:2], Path(__file__)]
    return measure_sensitivity(bank_file, paths, device="cpu", progress=quiet, each=12, mm_per_pixel=0.5)


def test_the_figures_follow_from_the_scores(run: SensitivityRun) -> None:
    result = run.result
    assert len(run.scored) == 15 * 12 == sum(row.pastes for row in result.kinds)
    assert result.images + len(result.rejected) == 14
    assert result.from_the_bank is not None
    assert len(result.from_the_bank) == 3
    assert list(result.skipped) == [__file__]
    assert all(image.score <= result.threshold for image in run.images)
    large = [item for item in run.scored if item.paste.size_pixels >= result.large_pixels]
    assert result.large_found == found_share(large, result.threshold)
    assert sum(cell.found.total for cell in result.places.cells) == len(large)
    strong = {row.kind: row.large_found.share for row in result.kinds if row.contrast == 0.4}
    weak = {row.kind: row.large_found.share for row in result.kinds if row.contrast == 0.1}
    assert sum(strong.values()) > sum(weak.values())
    assert strong["spot"] > 0.8


def test_the_same_seed_gives_the_same_figures(run: SensitivityRun, bank_file: Path) -> None:
    paths = [Path(image.name) for image in run.images]
    first, again = (
        measure_sensitivity(bank_file, paths, device="cpu", progress=quiet, each=2, seed=3) for _ in range(2)
    )
    assert [item.score for item in first.scored] == [item.score for item in again.scored]
    assert first.result == again.result


def test_a_copy_of_a_picture_in_another_file_is_drawn_into_once(tmp_path: Path) -> None:
    first, other = cells(defective=False)[:2]
    copy = Path(shutil.copy(first, tmp_path / "copy.png"))
    found = _good_images(
        [first, copy, other], OwnImages({}), 8, 1.0, lambda frames: [0.0] * len(frames), progress=quiet
    )
    assert [image.name for image in found.images] == [str(first), str(other)]
    assert found.skipped == {str(copy): f"has the same pixels as {first}, so it shows nothing more"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        for name, value in attrs:
            if name in {"src", "href"}:
                assert str(value).startswith("data:image/jpeg;base64,")
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag) if tag not in {"meta", "br", "img"} else None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_whole_page(run: SensitivityRun, tmp_path: Path) -> None:
    write_sensitivity_report(tmp_path / "r.html", run, "cells <&> tiles")
    text = (tmp_path / "r.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.seen.count("svg") == 6
    assert tags.seen.count("img") > 5
    assert "mm" in text


def score_of_darkest(frames: Sequence[Frame]) -> list[float]:
    """How much darker than 127 the darkest pixel is: finds all dark pastes and no bright ones."""
    return [127.0 - float(frame.min()) for frame in frames]


def test_pastes_lie_within_the_region_and_come_back_in_order() -> None:
    part = np.full((100, 200, 3), 127, np.uint8)
    images = [GoodImage(str(row), lambda: part, 0.0, (100, 200)) for row in range(3)]
    region = (0.5, 0.2, 0.4, 0.8)
    planned = plan_pastes(40, 3, size_range([(100, 200)], region), 0, kinds=("spot",), contrasts=(0.3,))
    steps: list[int] = []
    scored = score_pastes(images, planned, region, score_of_darkest, steps.append)
    assert [item.paste for item in scored] == planned
    assert steps[-1] == 40
    for item in scored:
        half = item.paste.size_pixels / 2
        assert 100 + half - 1e-9 <= item.place[0] <= 180 - half + 1e-9
        assert 20 + half - 1e-9 <= item.place[1] <= 100 - half + 1e-9
        assert all(0 <= share <= 1 for share in item.at)
    assert 0.2 < found_share(scored, 50.0).share < 0.8


def scored_paste(at: tuple[float, float], score: float, clean: float = 0.0) -> ScoredPaste:
    paste = PlannedPaste("spot", 0.2, 10 + 20 * at[0], *at, 0, 0)
    return ScoredPaste(paste, at, at, score, clean)


def test_images_above_the_threshold_as_they_are_count_nowhere() -> None:
    scored = [scored_paste((0.1, 0.1), 5.0), scored_paste((0.2, 0.2), 0.5)]
    scored += [scored_paste((0.3, 0.3), 9.0, clean=2.0)] * 7
    assert (found_share(scored, 1.0).count, found_share(scored, 1.0).total) == (1, 2)
    assert by_kind(scored, 1.0, 0.0)[0].pastes == 2
    assert sum(cell.found.total for cell in by_place(scored, 1.0).cells) == 2
    assert found_share(scored, 3.0).total == 9


def test_a_blind_corner_is_named() -> None:
    generator = np.random.default_rng(0)
    places = [(float(x), float(y)) for x, y in generator.random((800, 2))]
    scored = [scored_paste(at, 0.0 if max(at) < 1 / 6 else 5.0) for at in places]
    scored += [scored_paste((0.99, 0.5), 0.0)] * 2
    found = by_place(scored, 1.0)
    assert (found.rows, found.columns) == (6, 6)
    assert [(cell.row, cell.column) for cell in found.blind_spots()] == [(0, 0)]


def test_the_threshold_for_a_rate_is_found_as_a_build_finds_it(bank_file: Path) -> None:
    bank = read_bank(bank_file)
    assert threshold_at(bank_file, bank, 0.02) == bank.manifest.threshold
    assert threshold_at(bank_file, bank, 0.2) < threshold_at(bank_file, bank, 0.02)
    for rate in (0.0, 0.5, -1.0, float("nan")):
        with pytest.raises(InputError, match=r"--false-reject-rate: got .*, expected a share from"):
            threshold_at(bank_file, bank, rate)


def test_too_few_new_images_are_refused(bank_file: Path) -> None:
    paths = [*cells(defective=False)[0:40:2], *cells(defective=False)[1:11:2]]
    with pytest.raises(
        InputError, match=r"[45] of 25 images are left, .*built from 20, rejects [01] as they"
    ):
        measure_sensitivity(bank_file, paths, device="cpu", progress=quiet)


def test_regions_too_small_for_graded_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="too small for defects of graded sizes: expected at least 16"):
        size_range([(10, 300)], WHOLE)
    assert size_range([(300, 300)] * 3, WHOLE) == (3.0, 75.0)
    assert size_range([(300, 300), (300, 300), (50, 300)], WHOLE)[1] == 40.0


def test_the_command_prints_sizes_and_places(
    bank_file: Path, good_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, page = tmp_path / "images", tmp_path / "r.html"
    images.mkdir()
    for path in sorted(good_folder.iterdir())[:12]:
        shutil.copy(path, images)
    (images / "note.txt").write_text("no picture")
    words = ["bank", "sensitivity", str(bank_file), "--images", str(images), "--pastes", "10"]
    assert cli.main([*words, "--report", str(page), "--mm-per-pixel", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "large, found" in out
    assert "1 file ending in .txt" in out
    assert "scratch" in out
    assert page.read_text().startswith("<!doctype html>")
    assert cli.main([*words, "--json", "--false-reject-rate", "0.1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["kinds"]) == 15
    assert found["threshold_basis"] == "0.1 of its good scores above"
    for option, value in (("--pastes", "2"), ("--seed", "-1"), ("--mm-per-pixel", "0")):
        assert cli.main([*words, option, value]) == 2
        assert f"{option}: got {value}, expected" in capsys.readouterr().err


def test_an_older_bank_with_a_mask(bank_file: Path, run: SensitivityRun, tmp_path: Path) -> None:
    """It does not record its images, which is said; and pastes keep to the mask."""
    bank = read_bank(bank_file)
    del bank.tensors[IMAGE_DIGESTS]
    mask = np.zeros(bank.tensors["head.mean"].shape, np.float32)
    mask[: len(mask) // 2] = 1
    write_bank(tmp_path / "old.bank", bank.manifest, {**bank.tensors, "head.mask": mask})
    paths = [Path(image.name) for image in run.images]
    old = measure_sensitivity(tmp_path / "old.bank", paths, device="cpu", progress=quiet, each=2)
    assert all(item.paste.down <= 0.5 for item in old.scored)
    assert old.result.from_the_bank is None
    write_sensitivity_report(tmp_path / "r.html", old, "old")
    assert "does not record the images it was built from" in (tmp_path / "r.html").read_text()
