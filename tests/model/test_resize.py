import numpy as np
import pytest
import torch
from support.cells import cells

from inspectd.bank.images import read_image
from inspectd.model.features import Preprocess
from inspectd.model.resize import resized
from inspectd.pictures.channels import as_bgr


@pytest.mark.parametrize(
    "size", [(300, 300), (287, 120), (120, 287), (700, 900), (256, 256), (240, 320), (80, 96), (480, 640)]
)
@pytest.mark.parametrize("region", [None, (0.1, 0.2, 0.5, 0.6)])
def test_it_sees_what_the_reference_sees(
    size: tuple[int, int], region: tuple[float, float, float, float] | None
) -> None:
    cell = read_image(cells(defective=False)[0])
    assert cell is not None
    frame = resized(cell, *size, None)
    reference = Preprocess(256, 256, (0.0,) * 3, (1 / 255,) * 3, torch.device("cpu"), region=region)
    expected = reference([frame])[0].permute(1, 2, 0).flip(2).numpy()
    np.testing.assert_allclose(resized(frame, 256, 256, region), expected, atol=1e-3)


def test_it_takes_frames_as_they_lie_in_a_ring() -> None:
    frame = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
    view = np.zeros((40, 60, 3), np.uint8)[:, ::2]
    view[:] = frame
    view.flags.writeable = False
    np.testing.assert_array_equal(resized(view, 32, 32, None), resized(frame, 32, 32, None))
    assert resized(view, 40, 30, None).flags.c_contiguous


@pytest.mark.parametrize("size", [(300, 200), (31, 77), (64, 48)])
@pytest.mark.parametrize("region", [None, (0.1, 0.2, 0.5, 0.6)])
def test_a_grey_frame_is_seen_as_one_of_three_equal_channels(
    size: tuple[int, int], region: tuple[float, float, float, float] | None
) -> None:
    grey = np.random.default_rng(5).integers(0, 256, (*size, 1), np.uint8)
    view = np.zeros((size[0], 2 * size[1], 1), np.uint8)[:, ::2]
    view[:] = grey
    colour = as_bgr(grey)
    found = resized(view, 64, 48, region)
    np.testing.assert_array_equal(found, resized(colour, 64, 48, region))
    assert found.flags.c_contiguous
    reference = Preprocess(64, 48, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), torch.device("cpu"), region=region)
    assert torch.equal(reference([grey, colour]), reference([colour, grey]))
