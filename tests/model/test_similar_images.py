import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inspectd.errors import InputError
from inspectd.model.head import SimilarImages, distances_at_once, image_embedding

GENERATOR = torch.Generator().manual_seed(0)
EMBEDDINGS = torch.rand(30, 7, generator=GENERATOR)
SCORES = torch.rand(30, generator=GENERATOR)


def reference(query, embeddings, scores, neighbours):
    """The same in float64, one image at a time."""
    distances = np.linalg.norm(embeddings - query, axis=1)
    order = np.argsort(distances)[: max(2 * neighbours, neighbours + 2)]
    nearest = distances[order]
    full, none = nearest[min(neighbours, len(order)) - 1], nearest[-1]
    weights = np.clip((none - nearest) / (none - full), 0, 1)
    return (weights * scores[order]).sum() / weights.sum()


@pytest.mark.parametrize("neighbours", [1, 2, 3, 10])
def test_it_is_what_plain_numpy_says(neighbours: int) -> None:
    queries = torch.rand(9, 7, generator=GENERATOR)
    expected = [
        reference(q, EMBEDDINGS.double().numpy(), SCORES.double().numpy(), neighbours)
        for q in queries.double().numpy()
    ]
    found = SimilarImages(EMBEDDINGS, SCORES, neighbours).expected(queries)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_an_image_alone_gets_what_it_gets_in_company() -> None:
    similar = SimilarImages(EMBEDDINGS, SCORES, 3)
    queries = torch.rand(40, 7, generator=GENERATOR)
    together = similar.expected(queries)
    assert torch.equal(together, torch.cat([similar.expected(q[None]) for q in queries]))


def test_the_distances_of_cuda_are_those_of_the_cpu() -> None:
    queries = torch.rand(5, 7, generator=GENERATOR)
    expected = torch.stack([(EMBEDDINGS - own).square().sum(dim=1).sqrt() for own in queries])
    torch.testing.assert_close(distances_at_once(queries, EMBEDDINGS), expected, rtol=1e-6, atol=0.0)
    queries[3, 2] = torch.nan
    alone = torch.cat([distances_at_once(one[None], EMBEDDINGS) for one in queries])
    torch.testing.assert_close(distances_at_once(queries, EMBEDDINGS), alone, rtol=0, atol=0, equal_nan=True)
    assert alone[3].isnan().all()


@pytest.mark.gpu
@pytest.mark.parametrize("grid", [(28, 28), (16, 16), (14, 17), (3, 5)])
def test_on_a_card_images_are_as_alike_as_on_the_cpu(grid: tuple[int, int]) -> None:
    features = torch.rand(40, *grid, 152, generator=GENERATOR)
    embeddings = image_embedding(features.cuda())
    torch.testing.assert_close(embeddings.cpu(), image_embedding(features), rtol=1e-6, atol=1e-7)
    known, scores = image_embedding(features[:30]), torch.rand(30, generator=GENERATOR)
    similar = SimilarImages(known.cuda(), scores.cuda(), 3)
    found = similar.expected(embeddings[30:])
    expected = SimilarImages(known, scores, 3).expected(embeddings[30:].cpu())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)
    alone = torch.cat([similar.expected(image_embedding(one[None])) for one in features[30:].cuda()])
    assert torch.equal(found, alone)


def test_it_is_continuous_where_the_neighbours_change() -> None:
    similar = SimilarImages(torch.tensor([[0.0], [1.0], [2.0], [4.0]]), torch.tensor([1.0, 5.0, 2.0, 9.0]), 1)
    path = torch.linspace(-1, 5, 60_001)[:, None]
    assert similar.expected(path).diff().abs().max() < 0.01


@given(st.lists(st.floats(width=32, allow_nan=True), min_size=7, max_size=7), st.integers(1, 64))
def test_whatever_an_image_looks_like_the_expectation_is_one_of_good_parts(values, neighbours) -> None:
    found = float(SimilarImages(EMBEDDINGS, SCORES, neighbours).expected(torch.tensor([values]))[0])
    assert float(SCORES.min()) - 1e-6 <= found <= float(SCORES.max()) + 1e-6


def test_equal_images_count_alike() -> None:
    similar = SimilarImages(torch.zeros(4, 2), torch.tensor([1.0, 2.0, 3.0, 4.0]), 2)
    assert similar.expected(torch.zeros(1, 2)).item() == pytest.approx(2.5)


def test_one_good_image_is_enough() -> None:
    assert SimilarImages(EMBEDDINGS[:1], SCORES[:1], 3).expected(EMBEDDINGS[5:6]).item() == pytest.approx(
        SCORES[0].item()
    )


@pytest.mark.parametrize(
    ("embeddings", "scores"),
    [(EMBEDDINGS, SCORES[:5]), (EMBEDDINGS[0], SCORES[:7]), (EMBEDDINGS[:0], SCORES[:0])],
)
def test_parts_of_a_bank_that_do_not_fit_are_refused(embeddings, scores) -> None:
    with pytest.raises(InputError, match="shape"):
        SimilarImages(embeddings, scores, 3)


def test_an_embedding_takes_any_grid_and_any_number_of_channels() -> None:
    assert image_embedding(torch.rand(2, 16, 16, 176)).shape == (2, 7 * 7 * 32)
    assert image_embedding(torch.rand(2, 3, 5, 4)).shape == (2, 7 * 7 * 4)
