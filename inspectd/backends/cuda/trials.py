"""Trials of Triton kernels at load: one is used only where it compiles and gives what torch gives."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from inspectd.log import event

_log: Final = logging.getLogger("inspectd.scoring")
_OLDEST: Final = (8, 0)


@dataclass(frozen=True)
class KernelRefusal:
    """Reason why a kernel is not used, by name for machines and in words for people.

    Attributes:
        unexpected: the machine meets all requirements, and still it did not work.
    """

    reason: str
    detail: str
    unexpected: bool = False


def missing_for_kernels(device: torch.device) -> KernelRefusal | None:
    """What Triton's kernels need and a machine lacks; None: nothing."""
    if device.type != "cuda":
        return KernelRefusal("not_on_cuda", f"device {device}")
    if importlib.util.find_spec("triton") is None:
        return KernelRefusal("no_triton", "the package triton is not installed")
    capability = torch.cuda.get_device_capability(device)
    if capability < _OLDEST:
        return KernelRefusal("card_too_old", f"compute capability {capability}, expected {_OLDEST} or newer")
    if "CC" not in os.environ and shutil.which("gcc") is None and shutil.which("clang") is None:
        return KernelRefusal("no_c_compiler", "Triton needs a C compiler; install gcc or clang")
    return None


def tried(kernel: str, trial: Callable[[], str | None]) -> KernelRefusal | None:
    """Run a kernel's trial; the reason why the kernel must not be used is also logged. None: it may be used.

    Args:
        kernel: its name in logs.
        trial: imports, compiles and runs the kernel beside torch; says what was wrong, or None.

    Raises:
        torch.OutOfMemoryError: the device has not the memory to try it.
    """
    try:
        wrong = trial()
    except torch.OutOfMemoryError:
        raise  # not the kernel's fault: whoever loads the bank reports a full device
    except Exception as error:  # noqa: BLE001 - Triton raises errors of many kinds, some of them its own
        refusal = KernelRefusal("not_compiled", f"{type(error).__name__}: {error}", unexpected=True)
    else:
        if wrong is None:
            return None
        refusal = KernelRefusal("wrong_result", wrong, unexpected=True)
    event(
        _log, logging.WARNING, "kernel_unavailable", kernel=kernel, reason=refusal.reason,
        detail=refusal.detail,
    )  # fmt: skip
    return refusal
