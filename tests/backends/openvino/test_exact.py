"""Both precisions find the nearest rows, by distances relative to each row's spacing."""

import numpy as np
import pytest

from inspectd.backends.openvino.exact import ExactIndex, Expansion
from inspectd.backends.openvino.runtime import has_bfloat16

GENERATOR = np.random.default_rng(0)
BANK = GENERATOR.standard_normal((1500, 24)).astype(np.float32) + 5
SPACING = GENERATOR.uniform(0.2, 4.0, len(BANK)).astype(np.float32)
QUERIES = BANK[:100] + GENERATOR.standard_normal((100, 24)).astype(np.float32)
PRECISIONS = ["float32", *(["bfloat16"] if has_bfloat16() else [])]


def relative(bank: np.ndarray, spacing: np.ndarray | None) -> np.ndarray:
    distances = np.linalg.norm(QUERIES[:, None].astype(float) - bank[None], axis=2)
    return distances if spacing is None else distances / spacing


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("spacing", [None, SPACING], ids=["plain", "relative"])
def test_it_finds_the_nearest_rows(precision, neighbours, spacing) -> None:
    search = ExactIndex(Expansion(BANK, spacing), neighbours, precision, len(QUERIES), 1)
    assert search.kind == f"exact-{precision}"
    distances, rows = search.search(QUERIES)
    every = relative(BANK, spacing)
    least = np.sort(every, axis=1)[:, :neighbours]
    assert (distances >= least * (1 - 1e-5)).all()  # a row that was missed never makes it smaller
    near = np.isclose(distances, least, rtol=1e-5)
    assert near.mean() >= (1.0 if precision == "float32" else 0.98)
    np.testing.assert_allclose(distances, np.take_along_axis(every, rows, axis=1), rtol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [1, 2, 5, 600])
def test_small_banks_are_searched_whole(precision, rows) -> None:
    neighbours = min(2, rows)
    search = ExactIndex(Expansion(BANK[:rows], SPACING[:rows]), neighbours, precision, len(QUERIES), 1)
    distances, found = search.search(QUERIES)
    assert found.shape == distances.shape == (100, neighbours)
    assert found.min() >= 0
    assert found.max() < rows
