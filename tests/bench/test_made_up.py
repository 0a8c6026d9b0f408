"""A made-up bank is what was asked for."""

from pathlib import Path

import pytest

from inspectd.bank.file import read_bank
from inspectd.bench.made_up import specified, write

SMALL = {
    "backbone": "resnet18", "layers": None, "weights": "random", "grid": "coarse", "height": 64, "width": 64,
    "rows": 50, "dims": 16,
}  # fmt: skip


@pytest.mark.parametrize(("recipe", "scaled", "weight"), [("default", True, 0.7), ("published", False, 0.0)])
def test_it_scores_by_the_recipe(tmp_path: Path, recipe: str, scaled: bool, weight: float) -> None:
    file = tmp_path / "made-up.safetensors"
    write(file, specified(SMALL | {"recipe": recipe}))
    bank = read_bank(file)
    assert (bank.manifest.rows, bank.manifest.dims) == (50, 16)
    assert bank.manifest.options["local_scale"] is scaled
    assert bank.manifest.options["position_weight"] == weight
    assert any(name.startswith("detector.places.") for name in bank.tensors) is bool(weight)
