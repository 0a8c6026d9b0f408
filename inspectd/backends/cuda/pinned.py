"""Page-locks frame rings for a CUDA device, which then reads frames from them without a copy in between."""

from __future__ import annotations

import logging
from typing import Any, Final

from inspectd.ipc.ring import FrameRing
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.scoring")


class PinnedRings:
    """The rings that are page-locked; empty and idle where nothing computes on CUDA.

    Args:
        wanted: whether anything computes on CUDA.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._addresses: dict[int, int] = {}

    def add(self, ring: FrameRing) -> None:
        """Page-lock a ring; where that fails, uploads from it take longer and nothing else changes."""
        if not self._wanted:
            return
        address, size = ring.address()
        code = int(_runtime().cudaHostRegister(address, size, 0))
        if code:
            event(_log, logging.WARNING, "ring_not_page_locked", generation=ring.generation, cuda_error=code)
        else:
            self._addresses[id(ring)] = address

    def remove(self, ring: FrameRing) -> None:
        """Let a ring go, before its memory is unmapped."""
        address = self._addresses.pop(id(ring), None)
        if address is not None:
            _runtime().cudaHostUnregister(address)


def _runtime() -> Any:
    import torch  # noqa: PLC0415 - loaded already where anything computes on CUDA

    return torch.cuda.cudart()  # type: ignore[no-untyped-call]
