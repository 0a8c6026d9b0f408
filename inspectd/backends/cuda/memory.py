"""Memory of banks on a CUDA device: the footprint of each, and whether all recipes' fit together."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from inspectd.bank.file import NETWORK, ONNX, BankFile
from inspectd.errors import BankError, InspectdError, UnavailableError
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.bank")
_MEMORY: Final = "detector.bank"
_WITH_GAUSSIANS: Final = ("detector.", "detector.places.")
_MB: Final = 1e6
_ROW_FILL: Final = 256
_DIM_FILL: Final = 64
"""Rows and dimensions of the half precision bank are filled up to these for the search by tiles."""
_PRODUCT_DIMS: Final = 3
"""More dimensions that the other searches need."""
_TRIAL_ROWS: Final = 8192
_TRIAL_QUERIES: Final = 2100
"""At a time while a search is tried."""


@dataclass(frozen=True)
class Footprint:
    """Device memory of a recipe's bank, without its backbone and scoring's workspace.

    Attributes:
        device_bytes: always.
        loading_bytes: more, only while it is loaded.
    """

    recipe: str
    bank: str
    device_bytes: int
    loading_bytes: int


def footprint(recipe: str, path: str, bank: BankFile) -> Footprint:
    """Device memory of a bank file.

    | Kept | Tensors |
    |---|---|
    | always | every tensor in float32, of an imported model its bytes |
    | always, PaDiM | the full matrix beside each packed triangle |
    | always, PatchCore | a float16 copy of the rows, padded to multiples of 256 x 64 |
    | only while loading, PatchCore | three more float32 copies of the rows, distances of a trial |
    """
    stays = sum(
        tensor.nbytes if name in (*NETWORK, ONNX) else 4 * tensor.size
        for name, tensor in bank.tensors.items()
    )
    passes = 0
    if _MEMORY in bank.tensors:
        rows, dims = bank.tensors[_MEMORY].shape
        filled = rows + -rows % _ROW_FILL
        stays += 2 * max(filled * (dims + -dims % _DIM_FILL), rows * (dims + _PRODUCT_DIMS))
        stays += 4 * (2 * filled + dims)
        passes = 3 * rows * (dims + 1) * 4 + min(rows, _TRIAL_ROWS) * _TRIAL_QUERIES * 4
    for part in _WITH_GAUSSIANS:
        if f"{part}factors" in bank.tensors:
            positions, dims = len(bank.tensors[f"{part}factors"]), bank.tensors[f"{part}means"].shape[2]
            stays += positions * dims * dims * 4
    return Footprint(recipe, path, int(stays), int(passes))


@dataclass(frozen=True)
class Budget:
    """Memory that banks may take of a device.

    Attributes:
        most_bytes: at any time: by the settings, or all of the card.
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
        megabytes: of 1e6 bytes, by the settings; 0: all of it.
    """
    asked = int(megabytes * _MB)
    if 0 < asked < there_bytes:
        return Budget(asked, min(free_bytes, asked), f"scoring.device_memory_mb = {megabytes:g}", device)
    return Budget(there_bytes, free_bytes, f"all of {device}", device)


def peak_bytes(banks: Sequence[Footprint]) -> int:
    """Most memory that banks take while they are loaded in this order."""
    before = accumulate((one.device_bytes for one in banks), initial=0)
    return max(
        (at + one.device_bytes + one.loading_bytes for at, one in zip(before, banks, strict=False)), default=0
    )


def check_fits(banks: Sequence[Footprint], allowed: Budget) -> None:
    """Check that the banks of all recipes fit on the device together.

    Args:
        banks: of all recipes, in the order they are loaded.
        allowed: memory they may take.

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


def limit_memory(device: str, megabytes: float) -> Budget:
    """Limit torch's memory on a device to its budget, and return that.

    Args:
        device: `auto`, `cuda` or `cuda:N`.
        megabytes: of 1e6 bytes; 0: no limit.

    Raises:
        UnavailableError: the device cannot be used, or is none of CUDA.
    """
    import torch  # noqa: PLC0415 - hundreds of megabytes, and there already where it computes on CUDA

    from inspectd.backends.cuda.device import choose_device  # noqa: PLC0415 - loads torch

    target = choose_device(device)
    if target.type != "cuda":
        raise UnavailableError(
            f"device {device!r}: is {target} here, whose memory has no limit; expected cuda"
        )
    free, there = torch.cuda.mem_get_info(target)
    if megabytes:
        torch.cuda.set_per_process_memory_fraction(min(1.0, megabytes * _MB / there), target)
    return budget(str(target), free, there, megabytes)


def card_limit(device: str, megabytes: float) -> float:
    """Bytes that banks may take of a device, which need not be this process's; infinite for the CPU.

    Nothing is allocated there. A card that is not there has none.

    Args:
        device: `cpu` or `cuda:N`.
        megabytes: of 1e6 bytes, by the settings; 0: all of it.
    """
    if device == "cpu":
        return math.inf
    import torch  # noqa: PLC0415 - as above

    number = int(device.partition(":")[2])
    if number >= torch.cuda.device_count():
        return 0
    there = torch.cuda.get_device_properties(number).total_memory
    return budget(device, there, there, megabytes).most_bytes


def release_memory() -> None:
    """Free the device memory that torch still holds of banks that are gone."""
    torch = sys.modules.get("torch")  # nothing was loaded by it if it is not there
    if torch is not None:
        torch.cuda.empty_cache()
