import numpy as np
import torch

from inspectd.features.patches import patch_features


def test_each_patch_is_the_mean_of_its_neighbourhood() -> None:
    level = torch.arange(25, dtype=torch.float32).reshape(1, 1, 5, 5)
    patches = patch_features([level])
    assert patches.shape == (1, 5, 5, 1)
    assert patches[0, 2, 2, 0] == level[0, 0, 1:4, 1:4].mean()
    assert patches[0, 0, 0, 0] == level[0, 0, :2, :2].mean()  # at the border, of what there is


def test_a_coarser_level_is_brought_to_the_first_ones_grid() -> None:
    fine, coarse = torch.zeros(2, 3, 8, 8), torch.ones(2, 5, 4, 4)
    patches = patch_features([fine, coarse])
    assert patches.shape == (2, 8, 8, 8)
    assert patches.is_contiguous()
    np.testing.assert_allclose(patches[..., 3:].numpy(), 1.0)
