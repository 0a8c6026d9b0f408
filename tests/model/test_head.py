import numpy as np
import torch
from scipy import ndimage

from inspectd.model.head import Head, image_embedding
from inspectd.model.options import HeadOptions
from inspectd.model.pipeline import finish
from inspectd.records import NAN_SCORE

PLAIN = HeadOptions(standardise=False, smoothing=0.0, top=1, similar_images=0)
GENERATOR = torch.Generator().manual_seed(0)
GOOD = torch.rand(50, 6, 8, generator=GENERATOR)
EMBEDDINGS = torch.rand(50, 5, generator=GENERATOR)


def test_the_plain_score_is_the_largest_place() -> None:
    scores, maps = Head.fit(PLAIN, GOOD, EMBEDDINGS)(GOOD, EMBEDDINGS)
    assert torch.equal(maps, GOOD)
    assert torch.equal(scores, GOOD.amax(dim=(1, 2)))


def test_the_mean_of_the_top_places_and_of_all() -> None:
    top, _ = Head.fit(
        HeadOptions(standardise=False, smoothing=0.0, top=4, similar_images=0), GOOD, EMBEDDINGS
    )(GOOD, EMBEDDINGS)
    np.testing.assert_allclose(top, np.sort(GOOD.flatten(1).numpy())[:, -4:].mean(axis=1), rtol=1e-5)
    mean, _ = Head.fit(
        HeadOptions(standardise=False, smoothing=0.0, pool="mean", similar_images=0), GOOD, EMBEDDINGS
    )(GOOD, EMBEDDINGS)
    np.testing.assert_allclose(mean, GOOD.mean(dim=(1, 2)), rtol=1e-5)


def test_smoothing_is_a_gaussian_with_repeated_borders() -> None:
    _, maps = Head.fit(HeadOptions(standardise=False, smoothing=1.0, similar_images=0), GOOD, EMBEDDINGS)(
        GOOD, EMBEDDINGS
    )
    expected = ndimage.gaussian_filter(GOOD.numpy(), sigma=(0, 1, 1), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(maps.numpy(), expected, rtol=1e-4)


def test_a_place_that_varies_among_good_parts_is_no_defect() -> None:
    good = torch.randn(400, 12, 12, generator=GENERATOR)
    good[:, :, 9:] = good[:, :, 9:] * 10 + 30  # an edge
    head = Head.fit(HeadOptions(smoothing=0.0, top=1), good, torch.zeros(400, 1))
    part = torch.zeros(1, 12, 12)
    part[:, :, 9:] = 30
    part[0, 4, 4] = 8  # plain surface, eight deviations away; the edge scores 30 and is usual
    _, maps = head(part, torch.zeros(1, 1))
    assert maps[0].flatten().argmax() == 4 * 12 + 4


def test_a_map_of_one_place_passes_through() -> None:
    maps = torch.randn(20, 1, 1, generator=GENERATOR)
    scores, heatmaps = Head.fit(HeadOptions(smoothing=2.0, top=5, similar_images=0), maps, EMBEDDINGS[:20])(
        maps, EMBEDDINGS[:20]
    )
    assert heatmaps.shape == (20, 1, 1)
    np.testing.assert_array_equal(scores.argsort(), maps.flatten().argsort())


def test_a_rough_variant_is_not_worse_for_being_rough() -> None:
    smooth, rough = torch.rand(40, 6, 8, generator=GENERATOR), 3 + torch.rand(40, 6, 8, generator=GENERATOR)
    embeddings = torch.cat(
        [torch.rand(40, 5, generator=GENERATOR), 9 + torch.rand(40, 5, generator=GENERATOR)]
    )
    options = HeadOptions(standardise=False, smoothing=0.0, top=1, similar_images=3, similar_weight=1.0)
    head = Head.fit(options, torch.cat([smooth, rough]), embeddings)
    scores, maps = head(torch.tensor([1.0, 4.0])[:, None, None].expand(2, 6, 8), embeddings[[0, 40]])
    assert abs(scores[0] - scores[1]) < 0.1  # 1 is usual for a smooth part, 4 for a rough one
    assert torch.equal(maps.amax(dim=(1, 2)), scores)


def spoilt(maps: torch.Tensor, value: float) -> torch.Tensor:
    maps = maps.clone()
    maps[17, 2:4, 3:5] = value
    return maps


def test_one_image_moves_nothing_far_however_odd_it_is() -> None:
    clean = Head.fit(HeadOptions(), GOOD, EMBEDDINGS).tensors()
    odd, odder = (Head.fit(HeadOptions(), spoilt(GOOD, value), EMBEDDINGS).tensors() for value in (1e3, 1e6))
    for name, tensor in clean.items():
        np.testing.assert_allclose(odd[name], odder[name], rtol=1e-4)  # there is a limit, and it is reached
        assert (odd[name] - tensor).abs().max() < 6, name
    assert (odd["deviation"] / clean["deviation"]).max() < 1.5


def test_a_place_where_nothing_varies_has_a_share_of_the_usual_deviation() -> None:
    good = GOOD.clone()
    good[:, :, :5] = 0.0  # more than half of the places were blanked
    for maps in (good, spoilt(good, 1e3)):
        deviation = Head.fit(HeadOptions(), maps, EMBEDDINGS).tensors()["deviation"]
        assert deviation.min() > 0.05 * deviation.max()
    masked = torch.zeros(6, 8, dtype=torch.bool)
    masked[:, :2] = True
    still = torch.zeros(50, 6, 8)
    head = Head.fit(HeadOptions(), still, EMBEDDINGS, masked)  # nothing varies at all: finite all the same
    assert all(torch.isfinite(tensor).all() for tensor in head(still, EMBEDDINGS))


def test_an_image_with_a_place_that_is_no_number_is_never_usual() -> None:
    """Among maps around five billion, the number that stands for NaN would lie far below all of them."""
    good = 5e9 + 1e9 * torch.randn(20, 6, 5, generator=torch.Generator().manual_seed(0))
    features = good[..., None]
    head = Head.fit(HeadOptions(similar_images=0), good, image_embedding(features))
    for value in (torch.nan, torch.inf, -torch.inf):
        spoilt = good.clone()
        spoilt[3, 2, 2] = value
        scores, heatmaps = finish(head, spoilt, features)
        assert scores[3] == NAN_SCORE
        assert scores[:3].equal(finish(head, good, features)[0][:3])
        assert torch.isfinite(heatmaps).all()
