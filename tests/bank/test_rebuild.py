from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from inspectd.backends.precisions import prepare
from inspectd.bank.answers import digests_of
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import GOOD_SCORES, OUTLIER_HEATMAPS, read_bank, write_bank
from inspectd.bank.images import find_images
from inspectd.bank.rebuild import rebuild
from inspectd.errors import BankError, InputError
from inspectd.model.options import PatchOptions

SPEC = BuildSpec(height=64, width=64, coreset=0.2, seed=3)


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def again(path: Path, rows: list[int], images: list[Path], progress=quiet):
    return rebuild(
        path, read_bank(path), images, without=rows, prepare=prepare, memory_gb=3.0, device="cpu",
        progress=progress,
    )  # fmt: skip


@pytest.fixture
def folder(good_folder: Path, tmp_path: Path) -> Path:
    """16 cells and noise, among which is something that is none of them."""
    (tmp_path / "images").mkdir()
    for path in find_images(good_folder)[:16]:
        (tmp_path / "images" / path.name).symlink_to(path.resolve())
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "images" / "a-noise.png"), noise)
    return tmp_path / "images"


@pytest.mark.parametrize("detector", ["masked", "padim"])
def test_it_is_the_bank_that_the_others_alone_would_have_made(
    detector: str, folder: Path, tmp_path: Path
) -> None:
    mask = np.zeros((100, 80), np.uint8)
    mask[:, :40] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    patches = PatchOptions(region=(0.0, 0.0, 0.8, 1.0))
    spec = replace(SPEC, patches=patches, mask=tmp_path / "mask.png", coreset=50)
    if detector == "padim":
        spec = replace(SPEC, detector="padim", options={"dimensions": 40})
    images = find_images(folder)
    build_bank(images, tmp_path / "x.bank", spec, quiet)
    build_bank(images[1:], tmp_path / "wanted.bank", spec, quiet)
    bank, wanted = read_bank(tmp_path / "x.bank"), read_bank(tmp_path / "wanted.bank")
    assert [image.name for image in bank.manifest.outliers] == ["a-noise.png"]

    cv2.imwrite(str(folder / "another.png"), np.full((300, 300, 3), 90, np.uint8))  # not of the bank
    before = (tmp_path / "x.bank").read_bytes()
    built = again(tmp_path / "x.bank", [0], find_images(folder))
    assert (tmp_path / "x.bank").read_bytes() == before
    (gone,) = built.manifest.excluded
    assert (gone.name, gone.sha256) == ("a-noise.png", digests_of(bank)[0])
    assert gone.score == bank.tensors[GOOD_SCORES][0]
    assert msgspec.structs.replace(built.manifest, excluded=()) == wanted.manifest
    assert built.arrays.keys() == wanted.tensors.keys()
    for name, array in built.arrays.items():
        np.testing.assert_array_equal(array, wanted.tensors[name])


def test_what_was_answered_before_is_not_forgotten(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.bank"
    cell = cv2.imread(str(find_images(folder)[1]), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(folder / "a-noise.png"), cv2.rotate(cell, cv2.ROTATE_90_CLOCKWISE) // 2)
    build_bank(find_images(folder), path, replace(SPEC, keep_outliers=True), quiet)
    bank = read_bank(path)
    assert bank.manifest.outliers[0].status == "accepted"
    assert bank.tensors[OUTLIER_HEATMAPS].shape == (1, 4, 4)
    first = again(path, [5], find_images(folder))
    write_bank(path, first.manifest, first.arrays)
    assert first.manifest.outliers[0].status == "accepted"
    second = again(path, [5], find_images(folder))
    assert [image.sha256 for image in second.manifest.excluded] == digests_of(bank)[5:7]


@pytest.mark.parametrize("becomes", ["another", "nothing"])
def test_an_image_that_changes_while_the_bank_is_built_is_refused(
    becomes: str, folder: Path, tmp_path: Path
) -> None:
    path, images = tmp_path / "x.bank", find_images(folder)
    build_bank(images, path, SPEC, quiet)

    def change_one(step: str, done: int, total: int) -> None:
        if (step, done) == ("images", total):
            images[3].unlink()
            if becomes == "another":
                cv2.imwrite(str(images[3]), np.full((300, 300, 3), 90, np.uint8))

    message = "was changed while the bank was built" if becomes == "another" else "could be read a moment ago"
    with pytest.raises(InputError, match=f"{images[3].name}: .*{message}"):
        again(path, [0], images, change_one)


def test_an_excluded_image_is_named_in_utf8(folder: Path, tmp_path: Path) -> None:
    path, images = tmp_path / "x.bank", find_images(folder)
    build_bank(images, path, SPEC, quiet)
    images[0] = images[0].rename(folder / "caf\udce9.png")
    built = again(path, [0], images)
    write_bank(path, built.manifest, built.arrays)
    assert [image.name for image in read_bank(path).manifest.excluded] == ["caf\\udce9.png"]


def test_missing_images_and_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.bank"
    build_bank(find_images(folder), path, SPEC, quiet)
    with pytest.raises(
        InputError, match=r"--images: 2 of the 17 images bank .* was built from are not there"
    ):
        again(path, [0], find_images(folder)[:-2])
    again(path, [15, 16], find_images(folder)[:-2])  # those that leave it need not be there
    bank = read_bank(path)
    write_bank(path, msgspec.structs.replace(bank.manifest, weights_sha256="0" * 64), bank.tensors)
    with pytest.raises(BankError, match=r"was built with weights 000000000000"):
        again(path, [0], find_images(folder))


def test_a_bank_under_which_nothing_can_fail_is_not_made_of_what_stays(folder: Path, tmp_path: Path) -> None:
    """As a bank of an earlier version may be, whose build did not look for that."""
    path = tmp_path / "x.bank"
    blind = replace(SPEC, coreset=1, options={"reweight": True, "position_weight": 0.0})
    build_bank(find_images(folder), path, blind, quiet)
    with pytest.raises(InputError, match="no picture scores above the threshold 0: noise"):
        again(path, [3], find_images(folder))


def test_it_is_not_aligned_by_images_in_which_the_place_cannot_be_measured(tmp_path: Path) -> None:
    """Of a bar from the top to the bottom nobody sees how far up it lies."""
    for number in range(51):
        bar = np.random.default_rng(number).normal(90, 4, (64, 64, 3))
        bar[:, 24:40] += 60
        cv2.imwrite(str(tmp_path / f"{number}.png"), bar.clip(0, 255).astype(np.uint8))
    images, path = find_images(tmp_path), tmp_path / "x.bank"
    build_bank(images, path, replace(SPEC, coreset=50), quiet)
    bank = read_bank(path)
    assert bank.manifest.quality is not None
    quality = msgspec.structs.replace(bank.manifest.quality, aligned=True)
    write_bank(path, msgspec.structs.replace(bank.manifest, quality=quality), bank.tensors)
    with pytest.raises(InputError, match="is aligned, and the images that stay cannot be; build it anew"):
        again(path, [0], images)
