import numpy as np
import torch

from inspectd.model.features import patch_features
from inspectd.model.options import PatchOptions

FINE = PatchOptions(grid="fine", compression=1.0)
COARSE = PatchOptions(grid="coarse", compression=1.0)


def test_each_patch_is_the_mean_of_its_neighbourhood() -> None:
    level = torch.arange(25, dtype=torch.float32).reshape(1, 1, 5, 5)
    patches = patch_features([level], FINE)
    assert patches.shape == (1, 5, 5, 1)
    assert patches[0, 2, 2, 0] == level[0, 0, 1:4, 1:4].mean()
    assert patches[0, 0, 0, 0] == level[0, 0, :2, :2].mean()  # at the border, of what there is


def test_a_coarser_level_is_brought_to_the_finest_grid() -> None:
    coarse, fine = torch.ones(2, 5, 4, 4), torch.zeros(2, 3, 8, 8)
    patches = patch_features([coarse, fine], FINE)
    assert patches.shape == (2, 8, 8, 8)
    assert patches.is_contiguous()
    np.testing.assert_allclose(patches[..., :5].numpy(), 1.0)


def test_a_finer_level_is_averaged_to_the_coarsest_grid() -> None:
    fine = torch.rand(2, 3, 8, 8)
    patches = patch_features([fine, torch.ones(2, 5, 4, 4)], COARSE)
    assert patches.shape == (2, 4, 4, 8)
    inner = patch_features([fine], FINE)[:, 2:4, 2:4].mean(dim=(1, 2))
    np.testing.assert_allclose(patches[:, 1, 1, :3].numpy(), inner.numpy(), rtol=1e-5)


def test_compression_keeps_the_sign() -> None:
    level = torch.tensor([-16.0, 0.0, 81.0]).reshape(1, 3, 1, 1)
    patches = patch_features([level], PatchOptions(compression=0.75))
    np.testing.assert_allclose(patches.flatten().numpy(), [-8.0, 0.0, 27.0], rtol=1e-5)
