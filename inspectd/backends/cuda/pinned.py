"""Page-locks frame rings for a CUDA device, which then reads frames from them without a copy in between."""

from __future__ import annotations

import logging
from typing import Any, Final

from inspectd.backends.cuda.faults import take_last_error
from inspectd.ipc.ring import FrameRing
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.scoring")
_PORTABLE: Final = 1
"""For every CUDA device, not only the current one."""


class PinnedRings:
    """The rings that are page-locked; empty and idle where nothing computes on CUDA.

    Args:
        device: that computes: `cpu`, or `cuda` with its number.
    """

    def __init__(self, device: str) -> None:
        self._device = device if device.startswith("cuda") else None
        self._addresses: dict[int, int] = {}

    def add(self, ring: FrameRing) -> None:
        """Page-lock a ring; where that fails, uploads from it take longer and nothing else changes."""
        address, size = ring.address()
        if self._device is None or size == 0:
            return
        code = _called(self._device, "cudaHostRegister", address, size, _PORTABLE)
        if code:
            event(_log, logging.WARNING, "ring_not_page_locked", generation=ring.generation, cuda_error=code)
        else:
            self._addresses[id(ring)] = address

    def remove(self, ring: FrameRing) -> None:
        """Let a ring go, before its memory is unmapped."""
        address = self._addresses.pop(id(ring), None)
        if self._device is None or address is None:
            return
        code = _called(self._device, "cudaHostUnregister", address)
        if code:
            event(_log, logging.WARNING, "ring_stays_locked", generation=ring.generation, cuda_error=code)


def _called(device: str, function: str, *arguments: int) -> int:
    """The error code of a call of the CUDA runtime; 0: none."""
    import torch  # noqa: PLC0415 - loaded already where anything computes on CUDA

    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    with torch.cuda.device(device):
        code = int(getattr(runtime, function)(*arguments))
        if code:
            take_last_error()
    return code
