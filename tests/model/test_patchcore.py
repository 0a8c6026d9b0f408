from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.model.options import PaDiMOptions, PatchCoreOptions
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore

RNG = np.random.default_rng(0)
BANK = RNG.normal(2, 3, (200, 24))
FEATURES = RNG.normal(2, 3, (3, 5, 4, 24))

PLAIN: dict[str, Any] = {"local_scale": False, "position_weight": 0.0}


def reference(neighbours: int, *, reweight: bool) -> NDArray[np.float64]:
    """Section 3.3 of the paper in plain float64 NumPy; the whole map is scaled by equation 7's factor."""
    maps = []
    for image in FEATURES:
        patches = image.reshape(-1, image.shape[-1])
        distances = np.linalg.norm(patches[:, None] - BANK[None], axis=2)
        scores = np.sort(distances, axis=1)[:, :neighbours].mean(axis=1)
        if reweight:
            nearest = distances.min(axis=1)
            test = nearest.argmax()
            entry = BANK[distances[test].argmin()]
            around = np.argsort(np.linalg.norm(BANK - entry, axis=1))[:9]
            spread = np.linalg.norm(BANK[around] - patches[test], axis=1)
            scores = scores * (1 - np.exp(nearest[test]) / np.exp(spread).sum())
        maps.append(scores.reshape(image.shape[:2]))
    return np.stack(maps)


def maps(options: PatchCoreOptions) -> NDArray[np.float32]:
    detector = PatchCore(torch.from_numpy(BANK).float(), options)
    return detector.score_maps(torch.from_numpy(FEATURES).float()).numpy()


def test_maps_agree_with_the_reference() -> None:
    for neighbours in (1, 3, 9):
        options = PatchCoreOptions(neighbours=neighbours, **PLAIN)
        np.testing.assert_allclose(maps(options), reference(neighbours, reweight=False), rtol=1e-3)


def test_re_weighted_maps_agree_with_the_reference() -> None:
    options = PatchCoreOptions(neighbours=1, reweight=True, **PLAIN)
    np.testing.assert_allclose(maps(options), reference(1, reweight=True), rtol=1e-3)


def test_more_neighbours_than_rows_means_all_rows() -> None:
    detector = PatchCore(torch.from_numpy(BANK[:4]).float(), PatchCoreOptions(neighbours=9, **PLAIN))
    distances = np.linalg.norm(FEATURES[..., None, :] - BANK[:4], axis=-1).mean(axis=-1)
    np.testing.assert_allclose(
        detector.score_maps(torch.from_numpy(FEATURES).float()).numpy(), distances, rtol=1e-3
    )


def test_distances_are_relative_to_the_spacing_of_the_bank() -> None:
    between = np.sort(np.linalg.norm(BANK[:, None] - BANK[None], axis=2), axis=1)[:, 1:4].mean(axis=1)
    relative = np.sort(np.linalg.norm(FEATURES[..., None, :] - BANK, axis=-1) / between, axis=-1)
    for neighbours in (1, 3):
        options = PatchCoreOptions(neighbours=neighbours, local_scale=True, position_weight=0.0)
        np.testing.assert_allclose(maps(options), relative[..., :neighbours].mean(axis=-1), rtol=1e-3)


def test_a_row_that_is_missed_never_makes_a_patch_less_odd() -> None:
    options = PatchCoreOptions(position_weight=0.0)
    bank = torch.from_numpy(BANK).float()
    whole = PatchCore(bank, options)
    kept = torch.randperm(len(bank), generator=torch.Generator().manual_seed(0))[:50]
    part = PatchCore(bank[kept], options, whole.spacing[kept])
    features = torch.from_numpy(FEATURES).float()
    assert (part.score_maps(features) >= whole.score_maps(features) - 1e-4).all()


def test_a_bank_of_equal_rows_still_gives_finite_maps() -> None:
    detector = PatchCore(torch.ones(20, 24), PatchCoreOptions(position_weight=0.0))
    assert torch.isfinite(detector.score_maps(torch.from_numpy(FEATURES).float())).all()


def test_what_is_unusual_at_its_place_counts_more() -> None:
    features = torch.from_numpy(FEATURES).float()
    good = torch.randn(50, 5, 4, 24, generator=torch.Generator().manual_seed(0))
    positions = PaDiM.fit(good, PaDiMOptions(), seed=0)
    bank = torch.from_numpy(BANK).float()
    both = PatchCore(bank, PatchCoreOptions(position_weight=0.5), positions=positions).score_maps(features)
    alone = PatchCore(bank, PatchCoreOptions(position_weight=0.0)).score_maps(features)
    np.testing.assert_allclose(
        both.numpy(), (alone * positions.score_maps(features).sqrt()).numpy(), rtol=1e-4
    )
