"""Decides on the device to compute on."""

from __future__ import annotations

import logging
import re
import warnings
from functools import cache
from typing import Final

import torch

from inspectd.backends.cuda.driver import find_driver
from inspectd.backends.cuda.faults import exhausted
from inspectd.errors import InputError, UnavailableError
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.bank")
_CODE: Final = re.compile(r"(sm|compute)_(\d+)(\d)[af]?")


def choose_device(name: str) -> torch.device:
    """The device named `auto` (the first CUDA device if torch computes on it), `cpu`, `cuda` or `cuda:N`.

    A CUDA device becomes this thread's current one: what names none, such as Triton's launches, is on it.
    From then on the process computes in float32 on CUDA what is float32.

    Raises:
        InputError: the name is none of these.
        UnavailableError: torch cannot compute on the CUDA device asked for, or its memory is full now.
    """
    device = _automatic() if name == "auto" else _named(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    _stay_in_float32()
    return device


def _stay_in_float32() -> None:
    """Keep torch from TF32, which convolutions on CUDA take unasked: it has the error of half precision."""
    # The older of torch's two kinds of switches: torch refuses to read it where both were used.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _named(name: str) -> torch.device:
    kind, _, number = name.partition(":")
    if name == "cpu":
        return torch.device(name)
    if kind != "cuda" or not (number.isdecimal() or name == kind):
        raise InputError(f"device {name!r}: unknown; expected auto, cpu, cuda or cuda:N")
    index = int(number or 0)
    reason = unusable(index)
    if reason is not None:
        raise UnavailableError(f"device {name!r}: {reason}; use cpu or auto")
    return torch.device("cuda", index)


@cache
def _automatic() -> torch.device:
    if not find_driver().cards:
        return torch.device("cpu")
    reason = unusable(0)
    if reason is None:
        return torch.device("cuda", 0)
    event(
        _log, logging.WARNING, "cuda_unusable", driver=find_driver().version, reason=reason,
        advice="the CPU computes, far slower",
    )  # fmt: skip
    return torch.device("cpu")


@cache
def unusable(index: int) -> str | None:
    """Why torch cannot compute on a CUDA device, in words; None: it has just computed there.

    Raises:
        UnavailableError: its memory is full, which may be another matter in a minute.
    """
    driver = find_driver()
    if not driver.cards:
        return driver.problem or "this machine has no NVIDIA driver, or a driver that shows no CUDA device"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA"
    try:
        with warnings.catch_warnings():  # torch warns of what is said here
            warnings.simplefilter("ignore")
            torch.cuda.init()  # type: ignore[no-untyped-call]
            count = torch.cuda.device_count()
            if index >= count:
                return f"this machine has {count} usable CUDA devices"
            capability = torch.cuda.get_device_capability(index)
            built_for = torch.cuda.get_arch_list()
            if not has_code(capability, built_for):
                return (
                    f"{torch.cuda.get_device_name(index)} has compute capability "
                    f"{capability[0]}.{capability[1]}, torch {torch.__version__} has code for "
                    f"{', '.join(built_for)}"
                )
            wrong = _computes_wrong(torch.device("cuda", index))
    except (RuntimeError, AssertionError) as error:
        # The first sentence: after it torch advises on what to download.
        reason = str(error).partition("\n")[0].partition(". ")[0]
        if exhausted(error):
            raise UnavailableError(f"device cuda:{index}: its memory is full: {reason}") from error
        return f"torch {torch.__version__} cannot use the driver {driver.version}: {reason}"
    return "a trial computed something else there" if wrong else None


def has_code(capability: tuple[int, int], built_for: list[str]) -> bool:
    """Whether a card runs code of any of these architectures.

    Args:
        capability: major and minor.
        built_for: such as `sm_80`, machine code for cards of the same major, or `compute_80`, compiled at
            load for all later ones.
    """
    for architecture in built_for:
        found = _CODE.fullmatch(architecture)
        if found is None:
            continue
        code = int(found[2]), int(found[3])
        if code <= capability and (found[1] == "compute" or code[0] == capability[0]):
            return True
    return False


def _computes_wrong(device: torch.device) -> bool:
    """Launch a kernel and wait for what it computed: nothing less shows that a card works."""
    return int(torch.arange(100, device=device).sum()) != 4950
