"""The detectors. A new one is a file beside this, its options, and an entry here."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import torch

from inspectd.errors import InputError
from inspectd.model.dfkde import DFKDE
from inspectd.model.imported import Imported
from inspectd.model.options import (
    DFKDEOptions,
    ImportedOptions,
    PaDiMOptions,
    PatchCoreOptions,
    options_of,
)
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore


class Detector(Protocol):
    """A fitted detector on one device."""

    kind: ClassVar[str]

    @property
    def rows(self) -> int:
        """Entries of its memory."""

    @property
    def dims(self) -> int:
        """Dimensions of an entry."""

    def score_maps(self, features: torch.Tensor) -> torch.Tensor:
        """Score of every position of every image; the larger, the less like good parts.

        Args:
            features: (N, h, w, D) float32 patch features on the detector's device.

        Returns:
            (N, h', w') float32, h' and w' at the detector's resolution.
        """

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its memory, by names as in bank files; with its options enough to restore it."""


def restore(kind: str, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> Detector:
    """A fitted detector from what its `tensors()` gave and its settings.

    Raises:
        InputError: unknown detector, settings that do not fit it, or tensors that are not its own.
        RuntimeError: of another device than the CPU, whose fault it may be: full, or lost.
    """
    options = options_of(kind, values)
    try:
        match options:
            case PatchCoreOptions():
                return PatchCore.restore(tensors, options)
            case PaDiMOptions():
                return PaDiM.restore(tensors)
            case DFKDEOptions():
                return DFKDE.restore(tensors)
            case ImportedOptions():
                return Imported(options)
    except (KeyError, IndexError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and any(one.device.type != "cpu" for one in tensors.values()):
            raise
        raise InputError(f"detector {kind!r}: its tensors do not fit: {error!r}") from error
    raise InputError(f"detector {kind!r} cannot be restored")
