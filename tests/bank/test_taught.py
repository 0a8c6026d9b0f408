"""Images that a bank was taught: they give rows, and neither head nor threshold nor limits know them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspectd.backends.precisions import prepare
from inspectd.bank.answers import digests_of
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import GOOD_SCORES, read_bank, write_bank
from inspectd.bank.fit import FeaturesHere, FitSpec, cross_fit
from inspectd.bank.foreground import learn_foreground
from inspectd.bank.images import find_images, pixel_digest, read_image
from inspectd.bank.own_images import OwnImages
from inspectd.bank.rebuild import rebuild
from inspectd.errors import InputError
from inspectd.evaluation.recalibrate import recalibrate
from inspectd.model.options import HeadOptions, PaDiMOptions, PatchCoreOptions
from inspectd.model.padim import PaDiM

SPEC = BuildSpec(height=64, width=64, coreset=0.2, seed=3)


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def digest(path: Path) -> str:
    frame = read_image(path)
    assert frame is not None
    return pixel_digest(frame).tobytes().hex()


def head_of(path: Path) -> dict[str, NDArray]:
    return {name: array for name, array in read_bank(path).tensors.items() if name.startswith("head.")}


@pytest.fixture
def images(good_folder: Path, tmp_path: Path) -> list[Path]:
    """16 cells, another cell to teach, and noise to teach."""
    noise = tmp_path / "noise.png"
    cv2.imwrite(str(noise), np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    return [*find_images(good_folder)[:17], noise]


def test_a_bank_has_their_rows_and_nothing_else_of_them(images: list[Path], tmp_path: Path) -> None:
    own, taught = images[:16], images[16:]
    path, other = tmp_path / "x.bank", tmp_path / "other.bank"
    spec = replace(SPEC, taught=frozenset(map(digest, taught)))
    build_bank([taught[0], *own, taught[1]], path, spec, quiet)  # in whatever order
    bank = read_bank(path)
    assert digests_of(bank) == [digest(image) for image in own]
    assert (bank.manifest.images, bank.manifest.patches) == (16, 18 * 16)
    assert [(image.name, image.unlike_the_rest) for image in bank.manifest.taught] == [
        (taught[0].name, bank.manifest.taught[0].unlike_the_rest),
        ("noise.png", True),
    ]
    assert bank.manifest.outliers == ()
    assert bank.manifest.threshold == pytest.approx(bank.tensors[GOOD_SCORES].max())
    # The head stands for the bank's own images: what is taught moves it only as far as their scores move.
    build_bank(own, other, SPEC, quiet)
    assert head_of(path)["head.looks"].shape == head_of(other)["head.looks"].shape
    assert bank.manifest.quality == read_bank(other).manifest.quality
    places = [name for name in bank.tensors if name.startswith("detector.places.")]
    assert places
    for name in places:
        np.testing.assert_array_equal(bank.tensors[name], read_bank(other).tensors[name])


def test_what_is_usual_at_a_place_knows_none_of_them_in_any_fit() -> None:
    """A defect that was taught would widen its place, and all of its kind would pass there."""
    features = torch.randn(24, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    taught = np.isin(np.arange(24), [3, 11, 20])
    features[taught] += 20
    fit = FitSpec(PatchCoreOptions(), HeadOptions(), coreset=0.5, seed=0)
    spread = cross_fit(FeaturesHere(features), fit, lambda *_: None, taught)
    drawn = np.setdiff1d(np.flatnonzero(~taught), spread.held_out.rows)
    expected = PaDiM.fit(features[torch.from_numpy(drawn)], PaDiMOptions(), 0).tensors()
    found = spread.held_out.detector.tensors()
    assert all(torch.equal(found[f"places.{name}"], tensor) for name, tensor in expected.items())
    # Whose part they show would move what is judged, too.
    part = torch.zeros(24, 8, 8, 4)
    part[:, 2:6, 2:6] = 5
    part[taught] = 5
    part += torch.randn(part.shape, generator=torch.Generator().manual_seed(1)) / 10
    own = np.flatnonzero(~taught)
    assert torch.equal(learn_foreground(part, own.tolist()), learn_foreground(part[torch.from_numpy(own)]))


def test_it_is_built_again_with_them_without_them_or_with_others(images: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "x.bank"
    build_bank(images[:16], path, SPEC, quiet)

    def again(taught: list[Path] | None) -> str:
        digests = None if taught is None else [digest(image) for image in taught]
        built = rebuild(
            path, read_bank(path), images, taught=digests, prepare=prepare, memory_gb=3.0, device="cpu",
            progress=quiet,
        )  # fmt: skip
        return write_bank(path, built.manifest, built.arrays)

    before = read_bank(path).sha256
    one = again(images[16:17])
    assert again(None) == one != before
    assert again([]) == before
    assert again(images[16:]) not in {one, before}
    with pytest.raises(InputError, match=r"is one that bank .* was built from: nothing to teach"):
        again(images[:1])


def test_none_of_them_sets_a_threshold_later(images: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "x.bank"
    build_bank(images, path, replace(SPEC, taught=frozenset(map(digest, images[16:]))), quiet)
    found = recalibrate(path, images, [], None, device="cpu", progress=quiet, write=False)
    assert (found.good_images, found.from_the_bank) == (16, 16)
    assert set(found.skipped) == {str(image) for image in images[16:]}
    # As defects they are judged by the scores they had while they were left out.
    own, bank = OwnImages.of(read_bank(path)), read_bank(path)
    noise = read_image(images[17])
    assert noise is not None
    assert "was taught" in (own.why_no_measure(noise) or "")
    assert own.score(noise) == bank.manifest.taught[1].score
