import hashlib
from pathlib import Path

import pytest
import torch

from inspectd.errors import InputError
from inspectd.model.backbones import load_backbone
from inspectd.model.weights import digest, load_weights


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


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut"])
def test_downloaded_weights_that_are_damaged_are_named_by_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(InputError) as raised:
        load_backbone("resnet18", None, None, torch.device("cpu"))
    found = hashlib.sha256(content).hexdigest()[:8]
    assert f"{file}: is damaged: its sha256 begins {found}, expected f37072fd" in str(raised.value)


def test_without_a_place_for_downloads_none_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654)  # a user that the system does not know
    with pytest.raises(InputError, match=r"nowhere to keep its weights; set \$TORCH_HOME"):
        load_backbone("resnet18", None, None, torch.device("cpu"))
