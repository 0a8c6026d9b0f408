"""Chooses the device to compute on."""

from __future__ import annotations

import torch

from inspectd.errors import UnavailableError


def choose_device(name: str) -> torch.device:
    """The device named `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        UnavailableError: the CUDA device asked for is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index or 0
        if index >= count:
            raise UnavailableError(
                f"device {name!r}: this machine has {count} usable CUDA devices; use cpu or auto"
            )
        return torch.device("cuda", index)
    return device
