"""The NVIDIA driver, asked without torch, which takes a second to load."""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from inspectd.log import event

_log: Final = logging.getLogger("inspectd.bank")
_NO_DEVICE: Final = 100
_KERNEL_MODULE: Final = Path("/sys/module/nvidia/version")


@dataclass(frozen=True)
class Driver:
    """What the driver says of itself.

    Attributes:
        cards: CUDA devices it shows this process.
        version: for people; empty: there is no driver.
        problem: why it shows none though it is there; None: it has none to show, or shows some.
    """

    cards: int
    version: str
    problem: str | None = None


@cache
def find_driver() -> Driver:
    """Ask the driver; a problem is logged, once: without a card everything goes to the CPU, far slower."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Driver(0, "")
    found = _asked(library)
    if found.problem is not None:
        event(_log, logging.WARNING, "cuda_unusable", driver=found.version, reason=found.problem)
    return found


def _asked(library: ctypes.CDLL) -> Driver:
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(version))
    try:
        name = _KERNEL_MODULE.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # a container may not show it
        name = f"of CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    code = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if code in (0, _NO_DEVICE):
        return Driver(count.value, name)
    text = ctypes.c_char_p()
    library.cuGetErrorString(code, ctypes.byref(text))
    return Driver(0, name, f"the driver fails with {code}: {(text.value or b'unknown').decode()}")
