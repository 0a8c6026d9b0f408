"""What every search on the fast path promises."""

import sys

import numpy as np
import pytest

from inspectd.backends.openvino.choose import RecallTrial, kinds_to_try, make_search, measure, perturbed
from inspectd.backends.openvino.runtime import has_bfloat16

GENERATOR = np.random.default_rng(0)
BANK = GENERATOR.standard_normal((1500, 24)).astype(np.float32) + 5
QUERIES = perturbed(BANK, 100)
TRIAL = RecallTrial.of(QUERIES, BANK)
EXACT = ["exact", "exact-float32", "flat", *(["exact-bfloat16"] if has_bfloat16() else [])]


def nearest(count: int) -> np.ndarray:
    distances = np.linalg.norm(QUERIES[:, None] - BANK[None], axis=2)
    return distances.argsort(axis=1)[:, :count]


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("neighbours", [1, 3])
def test_exact_kinds_propose_every_nearest_row(kind: str, neighbours: int) -> None:
    search = make_search(kind, BANK, len(QUERIES), neighbours, threads=1, spacing=None)
    found = search.search(QUERIES)
    assert found.dtype == np.int32
    assert found.shape == (100, search.proposed)
    assert neighbours <= search.proposed <= neighbours + 3
    kept = [set(rows) >= set(best) for rows, best in zip(found, nearest(neighbours), strict=True)]
    assert np.mean(kept) >= 0.99
    assert not search.approximate


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_approximate_kinds_find_most(kind: str) -> None:
    search = make_search(kind, BANK, len(QUERIES), 1, threads=1, spacing=None)
    assert search.approximate
    assert TRIAL.recall(search.search(QUERIES)[:, 0], BANK) > 0.8


@pytest.mark.parametrize("kind", [*EXACT, "ivf", "hnsw"])
@pytest.mark.parametrize("rows", [1, 2, 5, 600])
def test_small_banks_are_searched_whole(kind: str, rows: int) -> None:
    search = make_search(kind, BANK[:rows], len(QUERIES), 2, threads=1, spacing=None)
    found = search.search(QUERIES)
    assert found.shape == (100, search.proposed)
    assert min(2, rows) <= search.proposed <= rows
    assert found.min() >= 0
    assert found.max() < rows


def test_recall_counts_what_is_missed() -> None:
    best = nearest(1)[:, 0].astype(np.int32)
    assert TRIAL.recall(best, BANK) == 1.0
    wrong = best.copy()
    wrong[:10] = (np.linalg.norm(QUERIES[:10, None] - BANK[None], axis=2)).argmax(axis=1)
    assert TRIAL.recall(wrong, BANK) == pytest.approx(0.9)
    assert TRIAL.share_not_lower(wrong, BANK) == 1.0  # farther is odder


def test_recall_counts_a_row_by_which_a_point_scores_lower() -> None:
    bank = np.array([[0.0], [2.001]], dtype=np.float32)
    trial = RecallTrial.of(np.array([[1.0]], dtype=np.float32), bank)
    missed = np.array([1])
    assert trial.recall(missed, bank) == 1.0  # within 1 % in distance
    sparse_there = np.array([1.0, 3.0], dtype=np.float32)
    assert trial.recall(missed, bank, sparse_there) == 0.0
    assert trial.share_not_lower(missed, bank, sparse_there) == 0.0
    assert trial.share_not_lower(missed, bank, sparse_there[::-1].copy()) == 1.0


@pytest.mark.parametrize("neighbours", [1, 40])
def test_what_an_index_did_not_find_is_filled_with_the_farthest_it_found(neighbours: int) -> None:
    search = make_search("ivf", BANK, len(QUERIES), neighbours, threads=1, spacing=None)
    found = search.search(QUERIES)
    distances = np.linalg.norm(QUERIES[:, None] - BANK[found], axis=2)
    assert (np.diff(distances, axis=1) >= -1e-4).all()


def test_the_fastest_that_finds_enough_is_taken() -> None:
    search, choice = measure(kinds_to_try(len(BANK)), BANK, len(QUERIES), 1, threads=1)
    assert search.kind == choice.kind
    assert set(choice.search_ms) >= {"exact-float32", choice.kind}
    assert choice.recall >= 0.999


def test_large_banks_try_inverted_lists_where_faiss_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ivf" not in kinds_to_try(3_000)
    assert "ivf" in kinds_to_try(30_000)
    monkeypatch.setitem(sys.modules, "faiss", None)  # as if it were not installed
    assert "ivf" not in kinds_to_try(30_000)


def test_inverted_lists_find_what_a_large_bank_holds() -> None:
    rng = np.random.default_rng(2)
    parts = rng.standard_normal((200, 31)) * 4  # an odd number of dimensions
    bank = (parts[rng.integers(200, size=9000)] + rng.standard_normal((9000, 31))).astype(np.float32)
    _, choice = measure(["ivf"], bank, 200, 1, threads=2, any_recall=True)
    assert choice.recall > 0.99


def test_a_point_far_from_what_was_proposed_is_searched_for_in_the_whole_bank() -> None:
    spacing = GENERATOR.uniform(0.2, 4.0, len(BANK)).astype(np.float32)
    queries = perturbed(BANK, 300, (0.9, 5.0))
    trial = RecallTrial.of(queries, BANK)
    plain = make_search("ivf", BANK, len(queries), 1, threads=1, spacing=None).search(queries)[:, 0]
    again = make_search("ivf", BANK, len(queries), 1, threads=1, spacing=spacing).search(queries)[:, 0]
    reach = 2 * np.minimum(spacing[plain], np.median(spacing))  # a row that stands alone does not widen it
    far = np.linalg.norm(queries - BANK[plain], axis=1) > reach
    assert far.sum() > 64  # more than are searched for at once
    assert (again[far] == trial.nearest[far]).all()
    assert (plain[far] != trial.nearest[far]).any()
    assert (again[~far] == plain[~far]).all()
    assert trial.share_not_lower(again, BANK, spacing) > trial.share_not_lower(plain, BANK, spacing)


def test_a_kind_that_misses_too_much_is_not_taken_unless_asked_for() -> None:
    bank = np.random.default_rng(1).standard_normal((4000, 64)).astype(np.float32)
    _, refused = measure(["ivf"], bank, 64, 1, threads=1)
    assert refused.kind == "exact-float32"
    _, asked = measure(["ivf"], bank, 64, 1, threads=1, any_recall=True)
    assert asked.kind == "ivf"
    assert asked.recall < 0.999
