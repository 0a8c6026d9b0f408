"""Several pictures of one part: left out together, counted once, and said where nobody names the parts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.station import Station

from inspectd import cli
from inspectd.backends.precisions import prepare
from inspectd.bank.alike import FEWEST_TO_LOOK_AT, alike
from inspectd.bank.answers import scores_that_count
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import GOOD_SCORES, IMAGE_PARTS, read_bank, write_bank
from inspectd.bank.images import find_images
from inspectd.bank.rebuild import rebuild
from inspectd.bank.threshold import default_threshold
from inspectd.errors import InputError
from inspectd.evaluation.budgets import choice_of, table_of
from inspectd.evaluation.recalibrate import recalibrate
from inspectd.model.head import GRID
from inspectd.pictures.parts import named_parts, numbered
from inspectd.quality.learn import FEWEST

SPEC = BuildSpec(height=64, width=64, coreset=0.2, seed=3)
BY_NAME = r"^(.*)_\d[.]"


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def embeddings(parts: int, each: int, noise: float) -> torch.Tensor:
    """Of pictures of parts, those of one part next to each other; light is another for each picture."""
    generator = torch.Generator().manual_seed(1)
    common, own, light = (
        torch.randn(size, generator=generator)
        for size in ((1, 32, GRID**2), (parts, 32, GRID**2), (parts * each, 32, 1))
    )
    pictures = 3 * common + own.repeat_interleave(each, dim=0) + light
    return (pictures + noise * torch.randn(pictures.shape, generator=generator)).flatten(1)


def test_pictures_of_one_part_are_found_among_others() -> None:
    every = embeddings(30, 4, noise=0.3)
    assert alike(every) == [list(range(first, first + 4)) for first in range(0, 120, 4)]
    one_of_each = every[::4]
    assert alike(one_of_each) == []
    assert alike(torch.cat([one_of_each, every[1:2]])) == [[0, 30]]
    assert alike(every[: FEWEST_TO_LOOK_AT - 1]) == []


def test_pictures_that_show_nothing_are_no_pictures_of_one_part() -> None:
    assert alike(torch.zeros(40, 32 * GRID**2)) == []


def test_parts_are_named_by_paths() -> None:
    paths = [Path("good/a_1.png"), Path("good/a_2.png"), Path("good/b/a_1.png")]
    assert list(named_parts(BY_NAME, Path("good"), paths).values()) == ["a", "a", "b/a"]
    assert list(named_parts("a_", Path("good"), paths).values()) == ["a_"] * 3
    numbers = numbered(["a", "b", "a"])
    assert numbers is not None
    assert numbers.tolist() == [0, 1, 0]
    assert numbered(["a", "b", "c"]) is None
    with pytest.raises(InputError, match=r"'\^\(b\)/' finds no part in 'a_1.png', expected one in the path"):
        named_parts("^(b)/", Path("good"), paths)
    with pytest.raises(InputError, match=r"--parts: got '\(', expected a regular expression: missing \)"):
        named_parts("(", Path("good"), paths)


@pytest.fixture(scope="module")
def burst(good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 cells, each taken twice: lighter or darker by a little, with noise."""
    folder, chance = tmp_path_factory.mktemp("burst"), np.random.default_rng(0)
    for number, path in enumerate(find_images(good_folder)[:24:2]):
        image = cv2.imread(str(path))
        assert image is not None
        for shot in range(2):
            taken = image * chance.uniform(0.98, 1.02) + chance.normal(0, 1, image.shape)
            cv2.imwrite(str(folder / f"{number:02d}_{shot}.png"), np.clip(taken, 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def built(burst: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """Builds a bank of these pictures, with their parts named or not, once."""
    banks: dict[bool, Path] = {}

    def build(is_named: bool) -> Path:
        if is_named not in banks:
            images = find_images(burst)
            parts = named_parts(BY_NAME, burst, images) if is_named else None
            banks[is_named] = tmp_path_factory.mktemp("bank") / "x.bank"
            build_bank(images, banks[is_named], replace(SPEC, parts=parts), quiet)
        return banks[is_named]

    return build


def test_a_threshold_is_of_parts_and_not_of_pictures(built: Callable[[bool], Path]) -> None:
    named, unnamed = (read_bank(built(is_named)) for is_named in (True, False))
    assert named.tensors[IMAGE_PARTS].tolist() == [part for part in range(12) for _ in range(2)]
    assert IMAGE_PARTS not in unnamed.tensors
    # No picture of a part is in the bank that scores another of it.
    assert named.tensors[GOOD_SCORES].max() > 1.3 * unnamed.tensors[GOOD_SCORES].max()
    counted = scores_that_count(named)
    assert len(counted) <= 12
    assert set(counted) <= set(named.tensors[GOOD_SCORES])
    assert named.manifest.threshold == default_threshold(counted)[0] > unnamed.manifest.threshold
    assert "of each part" in named.manifest.threshold_basis
    assert choice_of(named).good_images == len(counted)


def test_of_pictures_that_are_too_much_alike_no_rate_is_shown(built: Callable[[bool], Path]) -> None:
    path = built(False)
    bank = read_bank(path)
    assert isinstance(bank.manifest.alike, int)
    assert 8 <= bank.manifest.alike <= 16  # 12, but that parts are alike too
    choice = choice_of(bank)
    assert {row[3] for row in table_of(choice.budgets, choice.good_images)[1:]} == {"not shown"}
    with pytest.raises(InputError, match="of its 24 images seem to show no further part, so its own scores"):
        recalibrate(path, None, [], 0.3, device="cpu", progress=quiet, write=False)
    shown = recalibrate(built(True), None, [], 0.3, device="cpu", progress=quiet, write=False)
    assert shown.calibration is not None
    assert shown.calibration.images == shown.good_images <= 12


def test_limits_of_how_pictures_are_taken_are_of_parts_too(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    for number, picture in enumerate(Station().pictures(FEWEST)):
        for shot in range(2):
            noise = chance.normal(0, 1, picture.shape)
            cv2.imwrite(str(tmp_path / f"{number}_{shot}.png"), np.clip(picture + noise, 0, 255))
    images = find_images(tmp_path)
    spec = replace(SPEC, parts=named_parts(BY_NAME, tmp_path, images))
    build_bank(images, tmp_path / "x.bank", spec, quiet)
    bank = read_bank(tmp_path / "x.bank")
    assert bank.manifest.quality is not None
    assert (bank.manifest.quality.images, bank.manifest.quality.parts) == (2 * FEWEST, FEWEST)
    again = rebuild(
        tmp_path / "x.bank", bank, images, prepare=prepare, memory_gb=3.0, device="cpu", progress=quiet
    )
    write_bank(tmp_path / "again.bank", again.manifest, again.arrays)
    assert (tmp_path / "again.bank").read_bytes() == (tmp_path / "x.bank").read_bytes()
    build_bank(images[2:], tmp_path / "y.bank", spec, quiet)  # of one part fewer, and still 98 pictures
    assert read_bank(tmp_path / "y.bank").manifest.quality is None


@pytest.mark.parametrize("is_named", [True, False])
def test_a_bank_that_is_built_again_knows_the_same_of_parts(
    is_named: bool, built: Callable[[bool], Path], burst: Path, tmp_path: Path
) -> None:
    path = built(is_named)
    again = rebuild(
        path, read_bank(path), find_images(burst)[::-1],
        prepare=prepare, memory_gb=3.0, device="cpu", progress=quiet,
    )  # fmt: skip
    write_bank(tmp_path / "again.bank", again.manifest, again.arrays)
    assert (tmp_path / "again.bank").read_bytes() == path.read_bytes()


def test_too_few_parts_are_refused_however_many_pictures_there_are(burst: Path, tmp_path: Path) -> None:
    images = find_images(burst)[:18]
    spec = replace(SPEC, parts=named_parts(BY_NAME, burst, images))
    with pytest.raises(InputError, match=r"9 images of good parts, of each part one .* expected at least 10"):
        build_bank(images, tmp_path / "x.bank", spec, quiet)


@pytest.mark.parametrize(
    ("words", "with_what"),
    [
        (["build", "--video", "v.mp4", "--out", "x.bank"], "--images"),
        (["calibrate", "x.bank"], "--images or --defects"),
    ],
)
def test_parts_are_named_by_the_paths_of_files_alone(
    words: list[str], with_what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bank", *words, "--parts", "(.*)_"]) == 2
    assert f"--parts: expected it with {with_what} only" in capsys.readouterr().err


def test_parts_that_were_named_one_a_picture_change_nothing(good_folder: Path, tmp_path: Path) -> None:
    images = find_images(good_folder)[:14]
    build_bank(images, tmp_path / "a.bank", SPEC, quiet)
    parts = named_parts(".*", good_folder, images)
    build_bank(images, tmp_path / "b.bank", replace(SPEC, parts=parts), quiet)
    assert (tmp_path / "a.bank").read_bytes() == (tmp_path / "b.bank").read_bytes()
