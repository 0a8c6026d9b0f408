"""Backbone weights: where they come from and the digest that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # what `torch.load` raises; nothing is unpickled here

import torch

from inspectd.errors import InputError


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from a `.pth` or `.safetensors` file, without running any code in it.

    Raises:
        InputError: the file is missing or holds no state dict.
    """
    if not path.is_file():
        raise InputError(f"weights file {path}: not found, expected a .pth or .safetensors state dict")
    try:
        if path.suffix == ".safetensors":
            return _safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        raise InputError(f"weights file {path}: cannot be read as a state dict: {error}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(
            f"weights file {path}: holds {type(state).__name__}, expected a state dict of tensors"
        )
    return dict(state)


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    import safetensors.torch  # noqa: PLC0415 - only such files need it; scoring runs where it is missing

    try:
        return dict(safetensors.torch.load_file(path))
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """The sha256 of a state dict's names, types, shapes and values, whatever file it came from."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
