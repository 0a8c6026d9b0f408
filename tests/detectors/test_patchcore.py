import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.detectors.options import PatchCoreOptions
from inspectd.detectors.patchcore import PatchCore

RNG = np.random.default_rng(0)
BANK = RNG.normal(2, 3, (200, 24))
FEATURES = RNG.normal(2, 3, (3, 5, 4, 24))


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
    return detector.maps(torch.from_numpy(FEATURES).float()).numpy()


def test_maps_agree_with_the_reference() -> None:
    for neighbours in (1, 3, 9):
        options = PatchCoreOptions(neighbours=neighbours)
        np.testing.assert_allclose(maps(options), reference(neighbours, reweight=False), rtol=1e-3)


def test_re_weighted_maps_agree_with_the_reference() -> None:
    options = PatchCoreOptions(neighbours=1, reweight=True)
    np.testing.assert_allclose(maps(options), reference(1, reweight=True), rtol=1e-3)


def test_more_neighbours_than_rows_means_all_rows() -> None:
    detector = PatchCore(torch.from_numpy(BANK[:4]).float(), PatchCoreOptions(neighbours=9))
    distances = np.linalg.norm(FEATURES[..., None, :] - BANK[:4], axis=-1).mean(axis=-1)
    np.testing.assert_allclose(detector.maps(torch.from_numpy(FEATURES).float()).numpy(), distances, rtol=1e-3)
