"""What every detector promises, whatever its kind."""

from typing import Any

import numpy as np
import pytest
import torch

from inspectd.bank.fit import FitSpec, fit_detector
from inspectd.errors import InputError
from inspectd.model.detectors import Detector, restore
from inspectd.model.options import KINDS, HeadOptions, options_of

GENERATOR = torch.Generator().manual_seed(0)
GOOD = torch.randn(24, 6, 5, 20, generator=GENERATOR)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("patchcore", {}),
    ("patchcore", {"neighbours": 3, "reweight": True}),
    ("padim", {"dimensions": 8}),
    ("padim", {"dimensions": 8, "reduction": "projection"}),
    ("dfkde", {"components": 4}),
    ("dfkde", {"components": 4, "bandwidth": "cross-validation"}),
]


def fit(kind: str, values: dict[str, Any], seed: int = 0, device: str = "cpu") -> Detector:
    spec = FitSpec(options_of(kind, values), HeadOptions(), coreset=0.2, seed=seed)
    return fit_detector(GOOD.to(device), spec, lambda _done, _total: None).detector


def test_every_kind_is_tried_here() -> None:
    assert {kind for kind, _ in CASES} == set(KINDS)


@pytest.mark.parametrize(("kind", "values"), CASES)
class TestDetector:
    def test_maps_are_finite_and_one_for_each_image(self, kind: str, values: dict[str, Any]) -> None:
        detector = fit(kind, values)
        maps = detector.score_maps(GOOD[:7])
        assert maps.shape[0] == 7
        assert maps.ndim == 3
        assert maps.dtype == torch.float32
        assert torch.isfinite(maps).all()
        assert detector.kind == kind
        assert detector.rows > 0
        assert detector.dims > 0

    def test_what_is_unlike_good_parts_scores_higher(self, kind: str, values: dict[str, Any]) -> None:
        detector = fit(kind, values)
        assert (
            detector.score_maps(GOOD + 6).amax(dim=(1, 2)).min()
            > detector.score_maps(GOOD).amax(dim=(1, 2)).max()
        )

    def test_an_image_scores_alike_alone_and_in_company(self, kind: str, values: dict[str, Any]) -> None:
        detector = fit(kind, values)
        alone = torch.cat([detector.score_maps(GOOD[i : i + 1] + 1) for i in range(5)])
        np.testing.assert_allclose(
            detector.score_maps(GOOD[:5] + 1).numpy(), alone.numpy(), rtol=1e-3, atol=1e-4
        )

    def test_the_restored_detector_maps_alike(self, kind: str, values: dict[str, Any]) -> None:
        detector = fit(kind, values)
        tensors = {name: tensor.clone() for name, tensor in detector.tensors().items()}
        restored = restore(kind, tensors, values)
        assert torch.equal(restored.score_maps(GOOD[:3]), detector.score_maps(GOOD[:3]))
        assert (restored.rows, restored.dims) == (detector.rows, detector.dims)

    def test_the_same_seed_remembers_the_same(self, kind: str, values: dict[str, Any]) -> None:
        first, again = fit(kind, values, seed=5).tensors(), fit(kind, values, seed=5).tensors()
        assert all(torch.equal(first[name], again[name]) for name in first)

    def test_tensors_that_are_not_its_own_are_refused(self, kind: str, values: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=kind):
            restore(kind, {"nonsense": torch.zeros(3)}, values)

    @pytest.mark.gpu
    def test_cuda_and_cpu_agree(self, kind: str, values: dict[str, Any]) -> None:
        detector = fit(kind, values)
        moved = restore(kind, {name: t.cuda() for name, t in detector.tensors().items()}, values)
        maps = moved.score_maps(GOOD[:3].cuda()).cpu().numpy()
        # Squared: a distance of nothing is the root of a rounding error, whose size differs.
        np.testing.assert_allclose(
            np.square(maps), detector.score_maps(GOOD[:3]).square().numpy(), rtol=2e-3, atol=1e-5
        )


def test_an_error_of_another_device_is_not_called_the_tensors_fault() -> None:
    tensors, options = {"bank": torch.zeros(3, 4), "spacing": torch.zeros(5)}, {"position_weight": 0.0}
    with pytest.raises(InputError, match="its tensors do not fit"):
        restore("patchcore", tensors, options)
    with pytest.raises(RuntimeError):  # it may be full: another start may find room
        restore("patchcore", {name: tensor.to("meta") for name, tensor in tensors.items()}, options)
