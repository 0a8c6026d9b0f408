"""The detectors there are. A new one is a file beside this, its options, and an entry here."""

from __future__ import annotations

from typing import Any

import torch

from inspectd.detectors.base import Detector
from inspectd.detectors.dfkde import DFKDE
from inspectd.detectors.options import DFKDEOptions, PaDiMOptions, PatchCoreOptions, options_of
from inspectd.detectors.padim import PaDiM
from inspectd.detectors.patchcore import PatchCore
from inspectd.errors import InputError


def restore(kind: str, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> Detector:
    """A fitted detector from what its `tensors()` gave and its settings.

    Raises:
        InputError: unknown detector, settings that do not fit it, or tensors it does not know.
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
    except (KeyError, IndexError, RuntimeError) as error:
        raise InputError(f"detector {kind!r}: its tensors do not fit: {error!r}") from error
    raise InputError(f"detector {kind!r} cannot be restored")
