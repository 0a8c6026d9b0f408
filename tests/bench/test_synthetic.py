"""A synthetic bank is what was asked for."""

from pathlib import Path

import numpy as np
import pytest

from inspectd.backends.openvino.cache import ModelCache
from inspectd.bank.file import read_bank
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import convert, synthetic_pipeline, write
from inspectd.errors import InputError
from inspectd.model.options import PatchCoreOptions

PUBLISHED = PatchCoreOptions(local_scale=False, position_weight=0.0)


@pytest.mark.parametrize("options", [PatchCoreOptions(), PUBLISHED])
def test_it_scores_by_the_recipe(tmp_path: Path, options: PatchCoreOptions) -> None:
    file = tmp_path / "synthetic.safetensors"
    spec = Synthetic("resnet18", weights="random", height=64, width=64, rows=50, dims=16, options=options)
    write(file, spec)
    bank = read_bank(file)
    assert (bank.manifest.rows, bank.manifest.dims) == (50, 16)
    assert bank.manifest.options["local_scale"] is options.local_scale
    assert bank.manifest.options["position_weight"] == options.position_weight
    assert any(name.startswith("detector.places.") for name in bank.tensors) is bool(options.position_weight)


def test_it_is_converted_where_openvino_is_to_score_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    file = tmp_path / "synthetic.safetensors"
    write(file, Synthetic("resnet18", ("layer1",), "random", height=64, width=64, rows=50, dims=16))
    convert(file, "cpu", "torch")
    assert not (tmp_path / "cache").exists()
    convert(file, "cpu", "auto")
    assert ModelCache().models(read_bank(file).scoring_sha256) is not None


def test_the_same_seed_makes_the_same_pipeline() -> None:
    spec = Synthetic("resnet18", ("layer2",), "random", height=64, width=64, rows=30)
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    first, again = (synthetic_pipeline(spec, "cpu").score([frame])[0].image_score for _ in range(2))
    assert first == again


def test_dimensions_beyond_any_backbone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dimensions is 70000, expected a whole number from 1 to 65536"):
        write(tmp_path / "x", Synthetic("resnet18", weights="random", dims=70_000))
