import numpy as np
import pytest
from numpy.typing import NDArray

from inspectd.evaluation.synthetic import KINDS, Pasted, paste


@pytest.fixture
def part() -> NDArray[np.uint8]:
    """Grey with some structure, and room for a change of 0.4 both ways."""
    grey = 127 + np.random.default_rng(1).normal(0, 4, (160, 200)).round()
    return np.repeat(np.clip(grey, 110, 145).astype(np.uint8)[..., None], 3, axis=2)


def pasted(part: NDArray[np.uint8], kind: str, size: float, contrast: float, seed: int = 0) -> Pasted:
    return paste(part, kind, size, contrast, place=(100.3, 80.6), generator=np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_defect_and_another_seed_another(part: NDArray[np.uint8], kind: str) -> None:
    before = part.copy()
    first, again, other = (pasted(part, kind, 30, 0.3, seed) for seed in (7, 7, 8))
    assert np.array_equal(part, before)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [6.0, 15.0, 60.0])
@pytest.mark.parametrize("contrast", [0.1, 0.4])
def test_size_contrast_and_mask_are_as_asked(
    part: NDArray[np.uint8], kind: str, size: float, contrast: float
) -> None:
    for seed in range(5):
        result = pasted(part, kind, size, contrast, seed)
        change = np.abs(result.image.astype(int) - part).max(axis=2)
        assert not change[~result.mask].any()
        assert change.max() == pytest.approx(contrast * 255, abs=1)
        assert (change[result.mask] > 0).mean() > 0.6
        rows, columns = np.nonzero(result.mask)
        points = np.stack([rows, columns], axis=1)[:: max(1, len(rows) // 400)]
        extent = np.linalg.norm(points[:, None] - points, axis=2).max() + 1
        assert 0.7 * size - 1 <= extent <= 1.15 * size + 2
        assert abs(rows.mean() - 80.6) < 0.2 * size + 1
        assert abs(columns.mean() - 100.3) < 0.2 * size + 1


def test_the_only_direction_with_room_is_taken() -> None:
    for level, sign in ((20, 1), (235, -1)):
        part = np.full((80, 80, 3), level, np.uint8)
        for seed in range(8):
            result = paste(part, "spot", 20, 0.4, place=(40, 40), generator=np.random.default_rng(seed))
            assert sign * (int(result.image[40, 40, 0]) - level) == 102


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_outside_the_image_is_cut_off(kind: str) -> None:
    part = np.full((50, 40, 3), 127, np.uint8)
    for place in ((0.0, 0.0), (39.9, 49.9), (20.0, 0.0)):
        result = paste(part, kind, 70, 0.3, place=place, generator=np.random.default_rng(0))
        assert result.image.shape == part.shape
        assert result.mask.any()
    outside = paste(part, kind, 10, 0.3, place=(400, -300), generator=np.random.default_rng(0))
    assert np.array_equal(outside.image, part)
    assert not outside.mask.any()
