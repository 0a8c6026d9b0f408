import numpy as np
import torch

from inspectd.bank.fit import FOLDS, FeaturesHere, FitSpec, coreset_size, cross_fit, fit_detector
from inspectd.model.options import HeadOptions, PatchCoreOptions

GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(30, 4, 4, 6, generator=GENERATOR)
PLAIN = PatchCoreOptions(local_scale=False, position_weight=0.0)
HEAD = HeadOptions(standardise=False, smoothing=0.0, top=1, similar_images=0)


def test_no_image_is_in_the_bank_that_scores_it() -> None:
    """With the whole coreset, an image in the bank would score exactly 0."""
    spec = FitSpec(PLAIN, HEAD, coreset=1.0, seed=0)
    whole = fit_detector(FEATURES, spec, lambda _done, _total: None).detector
    assert whole.score_maps(FEATURES).max() < 0.01
    assert cross_fit(FeaturesHere(FEATURES), spec, lambda _done, _total: None).scores.min() > 0.1


def test_a_held_out_score_is_what_the_other_folds_give() -> None:
    spec = FitSpec(PLAIN, HEAD, coreset=1.0, seed=0)
    scores = cross_fit(FeaturesHere(FEATURES), spec, lambda _done, _total: None).scores
    order = np.random.default_rng(0).permutation(30)
    held_out = order[0::FOLDS]
    bank = FEATURES[np.setdiff1d(np.arange(30), held_out)].reshape(-1, 6)
    for image in held_out:
        expected = torch.cdist(FEATURES[image].reshape(-1, 6), bank).min(dim=1).values.max()
        np.testing.assert_allclose(scores[image], expected, rtol=1e-3)


def test_pictures_of_one_part_are_left_out_together() -> None:
    twice, parts = FEATURES.repeat_interleave(2, dim=0), np.repeat(np.arange(30), 2)
    spec = FitSpec(PLAIN, HEAD, coreset=1.0, seed=0)
    quiet = lambda _done, _total: None  # noqa: E731
    assert np.median(cross_fit(FeaturesHere(twice), spec, quiet).scores) < 0.01  # copies vouch for each other
    assert cross_fit(FeaturesHere(twice), spec, quiet, None, parts).scores.min() > 0.1
    each = cross_fit(FeaturesHere(FEATURES), spec, quiet, None, np.arange(30)).scores
    np.testing.assert_array_equal(each, cross_fit(FeaturesHere(FEATURES), spec, quiet).scores)


def test_half_precision_features_give_nearly_the_same_scores() -> None:
    spec = FitSpec(PatchCoreOptions(), HeadOptions(), coreset=0.5, seed=0)
    full = cross_fit(FeaturesHere(FEATURES), spec, lambda _done, _total: None).scores
    half = cross_fit(FeaturesHere(FEATURES.half()), spec, lambda _done, _total: None).scores
    np.testing.assert_allclose(half, full, rtol=0.1, atol=0.1)


def test_coreset_sizes() -> None:
    assert coreset_size(0.01, 307_200) == 3072
    assert coreset_size(3000, 307_200) == 3000
    assert coreset_size(3000, 100) == 100
    assert coreset_size(0.001, 100) == 1
