"""Where the part is, learnt of good images; what follows of it for a bank."""

from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch

from inspectd.backends.precisions import prepare
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.build import BankBuilder, build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank
from inspectd.bank.foreground import learn_foreground
from inspectd.bank.images import find_images, read_image
from inspectd.bank.rebuild import rebuild
from inspectd.errors import InputError

SPEC = BuildSpec(height=96, width=96, coreset=0.2, foreground=True)


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def features(shift: int = 1, apart: float = 4.0) -> torch.Tensor:
    """(6, 8, 10, 5): parts of 4x4 places that lie one place off in the last image."""
    found = torch.randn(6, 8, 10, 5, generator=torch.Generator().manual_seed(0))
    found[:, 2:6, 3:7, 1] += apart
    found[5, 2:6, 3, 1] -= apart
    found[5, 2:6, 6 + shift, 1] += apart
    return found


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_places_of_the_part_in_any_image_are_judged_and_one_around(sign: float) -> None:
    expected = torch.zeros(8, 10, dtype=torch.bool)
    expected[1:7, 2:9] = True
    assert torch.equal(learn_foreground(sign * 10 * features(apart=40.0)), expected)
    assert torch.equal(learn_foreground((sign * features(apart=40.0)).half()), expected)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (torch.randn(5, 8, 8, 4, generator=torch.Generator().manual_seed(0)), "cannot be told apart"),
        (torch.ones(5, 8, 8, 4), "explain 0%"),
        (torch.cat([torch.zeros(5, 8, 4, 3), torch.ones(5, 8, 4, 3)], dim=2), "no part lies before"),
    ],
    ids=["one group", "all alike", "side by side"],
)
def test_images_without_a_part_before_a_background_are_refused(values: torch.Tensor, said: str) -> None:
    with pytest.raises(InputError, match=rf"^--foreground: .*{said}.*--polygon or --mask$"):
        learn_foreground(values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs on a dark belt."""
    made = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    for number in range(14):
        frame = rng.integers(10, 20, (120, 120, 3), dtype=np.uint8)
        cv2.circle(frame, (60, 60), 30, (150, 190, 220), -1)
        frame[30:90, 30:90] += rng.integers(0, 20, (60, 60, 3), dtype=np.uint8)
        cv2.imwrite(str(made / f"{number}.png"), frame)
    return made


@pytest.fixture(scope="module")
def bank(folder: Path) -> Path:
    build_bank(find_images(folder), folder / "discs.bank", SPEC, quiet)
    return folder / "discs.bank"


def test_a_missing_part_and_a_hole_in_it_fail(folder: Path, bank: Path) -> None:
    """Where good parts lie is judged, whatever a frame shows there."""
    good = read_image(find_images(folder)[0])
    assert good is not None
    hole, missing = good.copy(), np.full_like(good, 15)
    hole[50:70, 50:70] = 15
    scorer = Scorer.load(bank, "cpu", ScoringOptions("torch"))
    answers = scorer.score([good, hole, missing])
    assert [answer.image_score > scorer.info.threshold for answer in answers] == [False, True, True]
    judged = read_bank(bank).tensors["head.mask"] > 0
    assert not answers[2].heatmap[~judged].any()


def test_it_is_stored_and_learnt_anew_where_an_image_leaves_the_bank(
    folder: Path, bank: Path, tmp_path: Path
) -> None:
    images, built = find_images(folder), read_bank(bank)
    assert built.manifest.foreground
    assert 0 < built.tensors["head.mask"].mean() < 1
    again = rebuild(
        bank, built, images, without=[0], prepare=prepare, memory_gb=3.0, device="cpu", progress=quiet
    )
    build_bank(images[1:], tmp_path / "wanted.bank", SPEC, quiet)
    wanted = read_bank(tmp_path / "wanted.bank")
    assert msgspec.structs.replace(again.manifest, excluded=()) == wanted.manifest
    np.testing.assert_array_equal(again.arrays["head.mask"], wanted.tensors["head.mask"])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (replace(SPEC, mask=np.ones((6, 6), bool)), "expected it without --mask"),
        (replace(SPEC, detector="dfkde"), "dfkde judges images as a whole"),
    ],
)
def test_what_does_not_go_with_it_is_refused(spec: BuildSpec, said: str) -> None:
    with pytest.raises(InputError, match=said):
        BankBuilder(spec)
