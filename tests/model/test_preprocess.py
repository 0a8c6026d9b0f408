import cv2
import numpy as np
import pytest
import torch

from inspectd.model.features import Preprocess

CPU = torch.device("cpu")
HALF = (0.5, 0.5, 0.5)


def test_values_are_scaled_and_bgr_becomes_rgb() -> None:
    frame = np.zeros((8, 8, 3), dtype=np.uint8)
    frame[..., 0] = 255  # blue
    images = Preprocess(8, 8, HALF, HALF, CPU)([frame])
    assert images.shape == (1, 3, 8, 8)
    assert images.dtype == torch.float32
    assert images[0, :, 0, 0].tolist() == [-1.0, -1.0, 1.0]


def test_frames_of_different_sizes_make_one_batch() -> None:
    frames = [np.full((40, 60, 3), 10, np.uint8), np.full((16, 16, 3), 200, np.uint8)]
    images = Preprocess(32, 24, HALF, HALF, CPU)(frames)
    assert images.shape == (2, 3, 32, 24)
    assert images[1].unique().tolist() == pytest.approx([200 / 127.5 - 1])


def test_a_frame_is_scored_alike_alone_and_in_company() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(3)]
    preprocess = Preprocess(32, 32, HALF, HALF, CPU)
    together = preprocess(frames)
    assert torch.equal(together[1:2], preprocess(frames[1:2]))


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    images = Preprocess(16, 16, HALF, HALF, CPU)([stripes])
    inner = (images[:, :, 2:-2, 2:-2] + 1) * 127.5
    assert inner.min() > 90
    assert inner.max() < 110


def test_resizing_agrees_with_opencvs_within_a_few_levels() -> None:
    smooth = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8), (0, 0), 6
    )
    images = Preprocess(45, 45, HALF, HALF, CPU)([smooth])
    ours = ((images[0].permute(1, 2, 0).flip(2) + 1) * 127.5).numpy()
    assert np.abs(ours - cv2.resize(smooth, (45, 45), interpolation=cv2.INTER_AREA).astype(float)).max() <= 3


@pytest.mark.parametrize("view", [np.s_[:, ::-1], np.s_[:, 4:28], np.s_[::2]])
def test_views_are_taken_as_they_are(view: tuple[slice, ...]) -> None:
    frame = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)[view]
    preprocess = Preprocess(32, 32, HALF, HALF, CPU)
    expected = preprocess([frame.copy()])
    assert torch.equal(preprocess([frame]), expected)
    frame.flags.writeable = False
    assert torch.equal(preprocess([frame]), expected)


@pytest.mark.gpu
def test_cuda_and_cpu_agree() -> None:
    frame = np.random.default_rng(3).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    cuda = Preprocess(64, 64, HALF, HALF, torch.device("cuda"))([frame]).cpu()
    assert (cuda - Preprocess(64, 64, HALF, HALF, CPU)([frame])).abs().max() <= 1e-6
