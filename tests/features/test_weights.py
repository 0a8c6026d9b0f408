from pathlib import Path

import pytest
import torch

from inspectd.errors import InputError
from inspectd.features.weights import digest, load_weights


def test_the_digest_sees_values_names_and_shapes() -> None:
    state = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    assert digest(state) == digest(dict(reversed(state.items())))
    assert digest(state) != digest(state | {"a": torch.zeros(3, 2)})
    assert digest(state) != digest({"a": state["a"], "c": state["b"]})
    changed = torch.zeros(2, 3)
    changed[1, 2] = 1e-7
    assert digest(state) != digest(state | {"a": changed})


def test_a_file_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        load_weights(tmp_path / "none.pth")


@pytest.mark.parametrize("content", [b"", b"not a state dict", b"PK\x03\x04 broken"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_state_dict_says_so(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="weights"):
        load_weights(path)


def test_a_state_dict_comes_back(tmp_path: Path) -> None:
    state = {"layer.weight": torch.rand(2, 2)}
    torch.save(state, tmp_path / "weights.pth")
    assert digest(load_weights(tmp_path / "weights.pth")) == digest(state)
