"""Every kind of camera that is held to the contract."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from faults.live import MjpegCamera
from faults.rtsp_camera import RtspLiveCamera
from support.ports import free_port

from camera_contract.camera import SOON, ContractCamera, LiveContractCamera
from camera_contract.clock import dated
from camera_contract.exposure import (
    EXPOSURE_US,
    exposure_of_chunk,
    exposure_of_sensor,
    prepare_both,
    take_turns,
)
from camera_contract.files import FolderContractCamera, SyntheticContractCamera, VideoContractCamera
from camera_contract.gentl import GentlContractCamera, HangingGentlCamera, RevokedGentlCamera
from camera_contract.gige import (
    ChunkContractCamera,
    RevokedContractCamera,
    SensorContractCamera,
    WideContractCamera,
)
from camera_contract.plant import Case
from camera_contract.pylon import PylonContractCamera
from inspectd.wire import Verdict

_SEEDS: Final = itertools.count(1)
_LOST: Final = [[number, 20] for number in range(7, 1000, 10)]
"""One packet of every tenth frame."""
_FAILING: Final = 200
"""Of a camera with 100 frames a second: those of its first two seconds."""


def _slow_registers(name: str, seconds: float, back_seconds: float) -> Case:
    """Five of the answers that are waited for when it is opened take so long, three others 0.1 s."""
    slow = dict.fromkeys(("ExposureTime", "TriggerMode", "TriggerSource", "PixelFormat"), seconds)
    return Case(f"gige b, {name}", _chunks(slow={**slow, "CCP": 0.1}), back_seconds=back_seconds)


def _mjpeg(_: Path) -> LiveContractCamera:
    port = free_port()
    return LiveContractCamera(lambda: MjpegCamera(next(_SEEDS), port=port), f"latency_ms = 60\n{SOON}")


def _rtsp(_: Path) -> LiveContractCamera:
    port = free_port()
    return LiveContractCamera(lambda: RtspLiveCamera(next(_SEEDS), port=port), f"latency_ms = 120\n{SOON}")


def _chunks(**fake: object) -> Callable[[Path], ChunkContractCamera]:
    return lambda _: ChunkContractCamera(fake={"fps": 200, **fake})


def _exposures(more: str) -> str:
    return f"exposure_us = {EXPOSURE_US['dark']}\n{more}"


def _exposures_in_turn(
    kind: str,
    make: Callable[[Path], ContractCamera],
    check: Callable[[ContractCamera, int, Verdict], str],
) -> Case:
    """A recipe with another exposure for every part."""
    return Case(
        f"{kind}, exposures in turn",
        make,
        least_judged=0.5,
        reasons=frozenset({"camera_settings"}),
        prepare=prepare_both,
        before=take_turns,
        check=check,
    )


CASES: Final = (
    Case("synthetic", SyntheticContractCamera),
    Case("folder", FolderContractCamera),
    Case("video file", VideoContractCamera, unplugged=False),
    Case("mjpeg", _mjpeg, least_judged=0.95),
    Case("rtsp", _rtsp, least_judged=0.95, settle_seconds=2),
    Case("gige a, photo eye, ids wrap", SensorContractCamera, is_fired=True),
    Case("gige a, free", lambda folder: SensorContractCamera(folder, eye=False)),
    Case("gige a, gone for 0.3 s", SensorContractCamera, away_seconds=0.3),
    Case("gige a, control taken", RevokedContractCamera, away_seconds=0),
    Case(
        "gige a, clock 500 ppm fast",
        lambda folder: SensorContractCamera(folder, fast_ppm=500),
        figures=dated,
        most={"age_off_beyond_ms": 1.0},
    ),
    _exposures_in_turn(
        "gige a",
        lambda folder: SensorContractCamera(folder, _exposures("settle_ms = 5\n")),
        exposure_of_sensor,
    ),
    Case("gige b, photo eye", _chunks(), is_fired=True),
    Case(
        "gige b, control taken",
        lambda _: ChunkContractCamera(revoked=True, fake={"fps": 200}),
        away_seconds=0,
    ),
    Case(
        "gige b, ids of 64 bits",
        lambda _: WideContractCamera(),
        is_fired=True,
        figures=lambda _, seen: {
            "highest_id": max(each.device.frame_id or 0 for each in seen if each.device)
        },
    ),
    Case("gige b, lossy, resend", _chunks(lost=_LOST)),
    Case(
        "gige b, lossy, no resend",
        _chunks(lost=_LOST, resend=False),
        least_judged=0.88,
        reasons=frozenset({"partial"}),
    ),
    _slow_registers("slow registers", 0.2, back_seconds=2),
    # Its own answers take 1.8 s until it can be started, so that two are not to be had.
    _slow_registers("slower registers", 0.3, back_seconds=3),
    _exposures_in_turn(
        "gige b",
        lambda _: ChunkContractCamera(_exposures("chunks = true\n"), fake={"fps": 200}),
        exposure_of_chunk,
    ),
    Case("gentl", GentlContractCamera, is_fired=True),
    Case(
        "gentl, incomplete",
        lambda folder: GentlContractCamera(folder, every_tenth="incomplete"),
        least_judged=0.88,
        reasons=frozenset({"partial"}),
    ),
    Case("gentl, control taken", RevokedGentlCamera, away_seconds=0),
    Case("gentl, producer hangs", HangingGentlCamera),
    _exposures_in_turn(
        "gentl", lambda folder: GentlContractCamera(folder, _exposures("chunks = true\n")), exposure_of_chunk
    ),
    Case("pylon, free", PylonContractCamera, unplugged=False),
    Case(
        "pylon, failing grabs",
        lambda folder: PylonContractCamera(folder, failing=_FAILING),
        unplugged=False,
        least_judged=0.7,
        reasons=frozenset({"partial"}),
    ),
)
