"""How well a camera's frames are dated, against the moment the camera took them."""

from __future__ import annotations

import statistics
import time
from typing import Final

from camera_contract.camera import ContractCamera
from camera_contract.gige import SensorContractCamera
from inspectd.wire import Verdict

_LEARNT_SECONDS: Final = 6.0
"""After so long the drift is known."""


def dated(camera: ContractCamera, verdicts: list[Verdict]) -> dict[str, float]:
    """How far frames were dated from their exposure, ms: the usual distance, and the most beyond it.

    Args:
        camera: with its notes of when it took each picture.
        verdicts: that judge, in the order of the parts.
    """
    assert isinstance(camera, SensorContractCamera)
    utc_ns = time.time_ns() - time.monotonic_ns()
    off_ms = []
    for taken in (each.exposed_ns for each in camera.cameras):
        first_ns = min(taken.values(), default=0)
        for verdict in verdicts:
            at_ns = taken.get(verdict.frame_sha256 or "")
            if at_ns is not None and at_ns - first_ns > _LEARNT_SECONDS * 1e9 and verdict.captured_utc_ns:
                off_ms.append((verdict.captured_utc_ns - utc_ns - at_ns) / 1e6)
    if not off_ms:
        return {}
    usual = statistics.median(off_ms)
    return {
        "age_off_ms": round(usual, 2),
        "age_off_beyond_ms": round(max(abs(each - usual) for each in off_ms), 2),
    }
