"""What banks take of a CUDA device's memory, and whether those of all recipes fit together."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inspectd.bank.file import BankFile
from inspectd.errors import BankError, InspectdError, UnavailableError
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.bank")
_MEMORY: Final = "detector.bank"
_WITH_PLACES: Final = ("detector.", "detector.places.")
_MB: Final = 1e6
_ROW_FILL: Final = 128
_DIM_FILL: Final = 32
"""Rows and dimensions of the half precision bank are filled up to these for the fused search."""


@dataclass(frozen=True)
class Resident:
    """A recipe's bank and the device memory it takes.

    Attributes:
        device_bytes: for as long as it is loaded, beside its backbone and what scoring works in.
        loading_bytes: more of it, while it is loaded.
    """

    recipe: str
    bank: str
    device_bytes: int
    loading_bytes: int


def resident(recipe: str, path: str, bank: BankFile) -> Resident:
    """What a bank file takes on the device.

    That is every tensor in float32. Of a PatchCore's rows there are two copies in half precision as well, the
    second one filled up, and before them the float32 copies of the exact search: three while it is made, of
    which two come on top of what stays. Of the Gaussians of places there is the whole matrix beside its
    lower triangle.
    """
    stays = sum(4 * tensor.size for tensor in bank.tensors.values())
    passes = 0
    if _MEMORY in bank.tensors:
        rows, dims = bank.tensors[_MEMORY].shape
        filled = (rows + -rows % _ROW_FILL) * (dims + -dims % _DIM_FILL)
        stays += 2 * (rows * dims + filled) + rows * (4 + 2)
        passes = 2 * rows * dims * 4 + rows * 4
    for part in _WITH_PLACES:
        if f"{part}factors" in bank.tensors:
            places, dims = len(bank.tensors[f"{part}factors"]), bank.tensors[f"{part}means"].shape[2]
            stays += places * dims * dims * 4
    return Resident(recipe, path, int(stays), int(passes))


@dataclass(frozen=True)
class Budget:
    """What banks may take of a device.

    Attributes:
        most_bytes: at any time: what the settings say, or what the card has.
        free_bytes: of it now, which may be another amount in a minute.
        basis: where `most_bytes` comes from, for people.
        device: for people.
    """

    most_bytes: int
    free_bytes: int
    basis: str
    device: str


def budget(device: str, free_bytes: int, there_bytes: int, megabytes: float) -> Budget:
    """The budget of a device.

    Args:
        device: its name.
        free_bytes: of it now.
        there_bytes: of it altogether.
        megabytes: of 1e6 bytes, what the settings allow; 0: all of it.
    """
    asked = int(megabytes * _MB)
    if 0 < asked < there_bytes:
        return Budget(asked, min(free_bytes, asked), f"scoring.device_memory_mb = {megabytes:g}", device)
    return Budget(there_bytes, free_bytes, f"all of {device}", device)


def admit(banks: Sequence[Resident], allowed: Budget) -> None:
    """Let banks onto the device together, or none of them.

    Args:
        banks: of all recipes, in the order they are loaded.
        allowed: what they may take.

    Raises:
        BankError: they never fit; it names the first that does not.
        UnavailableError: they do not fit beside what else is on the device now.
    """
    needed = []
    total = 0
    for one in banks:
        total += one.device_bytes
        needed.append(total + one.loading_bytes)
        event(
            _log, logging.INFO, "bank_on_device", recipe=one.recipe, bank=one.bank,
            device_bytes=one.device_bytes, total_bytes=total,
            budget_bytes=min(allowed.most_bytes, allowed.free_bytes),
        )  # fmt: skip

    def refuse_beyond(limit_bytes: int, basis: str, kind: type[InspectdError]) -> None:
        for one, peak in zip(banks, needed, strict=True):
            if peak > limit_bytes:
                raise kind(
                    f"recipe {one.recipe}: bank {one.bank} takes {one.device_bytes / _MB:.1f} MB of the "
                    f"device, loading it after those before it {peak / _MB:.1f} MB, all recipes' banks "
                    f"{total / _MB:.1f} MB; expected at most {limit_bytes / _MB:.1f} MB ({basis})"
                )

    # First what no waiting changes: it ends the daemon for good, the other is tried again.
    refuse_beyond(allowed.most_bytes, allowed.basis, BankError)
    refuse_beyond(allowed.free_bytes, f"free on {allowed.device} now", UnavailableError)


def hold_to(device: str, megabytes: float) -> Budget:
    """The device's budget; torch takes no more than that from then on.

    Args:
        device: `auto`, `cuda` or `cuda:N`.
        megabytes: of 1e6 bytes; 0: what is free now.

    Raises:
        UnavailableError: the device is not there.
    """
    import torch  # noqa: PLC0415 - hundreds of megabytes, and there already where it computes on CUDA

    from inspectd.backends.cuda.device import choose_device  # noqa: PLC0415 - loads torch

    target = choose_device(device)
    free, there = torch.cuda.mem_get_info(target)
    if megabytes:
        torch.cuda.set_per_process_memory_fraction(min(1.0, megabytes * _MB / there), target)
    return budget(str(target), free, there, megabytes)


def release_memory() -> None:
    """Give a CUDA device back what banks that are gone have left in torch's hands."""
    torch = sys.modules.get("torch")  # nothing was loaded by it if it is not there
    if torch is not None:
        torch.cuda.empty_cache()
