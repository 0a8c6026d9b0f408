"""Chunks: what a camera sends with each frame beside its pixels, such as its exposure time."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final, NamedTuple

from inspectd import config
from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import Features
from inspectd.capture.genicam.features import set_choice, set_flag
from inspectd.wire import DeviceFacts

CHUNKS: Final[dict[str, str]] = {
    "frame_id": "FrameID",
    "exposure_us": "ExposureTime",
    "gain_db": "Gain",
    "encoder_count": "EncoderValue",
    "counter_count": "CounterValue",
    "line_status": "LineStatusAll",
}
"""The chunk, by its name in the GenICam standard features (SFNC), that gives each fact. The time is not among
them: every frame is sent with it, whatever chunks there are."""
_SETTINGS: Final = ("exposure_us", "gain_db")
_MOST_WHOLE: Final = 1 << 63
_NO_UNIT_OF_ITS_OWN: Final = ""


class SwitchedOn(NamedTuple):
    """Chunks that a camera sends now.

    Attributes:
        facts: those of `CHUNKS` that they give.
        remark: why others, which it has, could not be switched on; empty: there are none.
    """

    facts: tuple[str, ...]
    remark: str


def set_chunks(camera: Features, settings: config.GenicamCamera) -> SwitchedOn:
    """Switch on the chunks of a camera that give facts, or all of them off, and read that back.

    Raises:
        CameraError: they cannot be switched off, or there is none for what its frames have to say.
    """
    # Which there are may be said only once they are on; that there are any is in its description.
    has_chunks = camera.has("ChunkModeActive") and camera.is_known("ChunkSelector")
    if settings.chunks is False or not has_chunks:
        if camera.has("ChunkModeActive"):
            set_flag(camera, "ChunkModeActive", value=False)
        return SwitchedOn(_demanded((), settings, "its frames carry nothing else than pixels"), "")
    try:
        set_flag(camera, "ChunkModeActive", value=True)
        offered = frozenset(camera.choices("ChunkSelector"))
    except CameraError as error:
        return SwitchedOn(_demanded((), settings, str(error)), f"chunks are not used: {error}")
    found, problems = [], []
    for fact, name in CHUNKS.items():
        try:
            if name in offered and _switch_on(camera, name):
                found.append(fact)
        except CameraError as error:
            problems.append(f"chunk {name} is not used: {error}")
    return SwitchedOn(_demanded(found, settings, "; ".join(problems)), "; ".join(problems))


def _switch_on(camera: Features, name: str) -> bool:
    """Have a chunk sent; False where nothing can be read of it."""
    set_choice(camera, "ChunkSelector", name)
    set_flag(camera, "ChunkEnable", value=True)
    if not camera.is_known(f"Chunk{name}"):
        return False
    if name == "Gain":  # in units of the camera's own it is no gain that anybody set
        return camera.unit("ChunkGain") in {"dB", _NO_UNIT_OF_ITS_OWN} and camera.unit("Gain") == "dB"
    return True


def _demanded(found: Collection[str], settings: config.GenicamCamera, why: str) -> tuple[str, ...]:
    """The facts that were found, if those are among them that the settings rely on."""
    if settings.chunks:
        needed = [fact for fact in _SETTINGS if getattr(settings, fact) is not None]
        missing = [CHUNKS[fact] for fact in needed if fact not in found]
        if missing or not found:
            raise CameraError(
                f"chunks is true, but no chunk {' or '.join(missing or CHUNKS.values())} can be read"
                f"{f' ({why})' if why else ''}; leave chunks out, and give settle_ms"
            )
    return tuple(found)


def facts_of(values: dict[str, float], frame_id: int, device_ns: int) -> DeviceFacts:
    """What a camera says of a frame.

    Args:
        values: by the names of `CHUNKS`, as they came.
        frame_id: number that it was sent with; 0: it was lost, or there is none.
        device_ns: stamp that it was sent with; 0: there was none.
    """
    sent: dict[str, float] = {"frame_id": frame_id, "time_ns": device_ns}
    known = {name: value for name, value in sent.items() if value} | values
    # Readers keep whole numbers in 64 bits with a sign; no clock and no counter gets beyond that.
    return DeviceFacts(**{n: v for n, v in known.items() if math.isfinite(v) and abs(v) < _MOST_WHOLE})  # type: ignore[arg-type]
