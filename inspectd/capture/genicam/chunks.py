"""Chunks: what a camera sends with each frame beside its pixels, such as its exposure time."""

from __future__ import annotations

import math
from collections.abc import Collection
from ctypes import c_char_p, c_double, c_int64, c_void_p
from typing import Final, NamedTuple

from inspectd import config
from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.aravis import AravisCamera, AravisError, library
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
them: it stands in the first packet of every frame, whatever chunks there are."""
_SETTINGS: Final = ("exposure_us", "gain_db")
_NO_UNIT_OF_ITS_OWN: Final = ""


class SwitchedOn(NamedTuple):
    """Chunks that a camera sends now.

    Attributes:
        facts: those of `CHUNKS` that they give.
        remark: why others, which it has, could not be switched on; empty: there are none.
    """

    facts: tuple[str, ...]
    remark: str


def set_chunks(camera: AravisCamera, settings: config.GenicamCamera) -> SwitchedOn:
    """Switch on the chunks of a camera that give facts, or all of them off, and read that back.

    Raises:
        CameraError: they cannot be switched off, or there is none for what its frames have to say.
    """
    if settings.chunks is False or not camera.has("ChunkModeActive"):
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


def _switch_on(camera: AravisCamera, name: str) -> bool:
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
        frame_id: number in the frame's first packet; 0: it was lost.
        device_ns: stamp in the frame's first packet; 0: there was none.
    """
    known: dict[str, float | int] = {name: value for name, value in values.items() if math.isfinite(value)}
    return DeviceFacts(**({"frame_id": frame_id or None, "time_ns": device_ns or None} | known))  # type: ignore[arg-type]


class ChunkReader:
    """Reads the chunks of a camera's frames.

    Args:
        camera: with the chunks switched on.
        facts: names of `CHUNKS`.
    """

    def __init__(self, camera: AravisCamera, facts: Collection[str]) -> None:
        self._library = library()
        self._real = {fact: camera.is_real(f"Chunk{CHUNKS[fact]}") for fact in facts}
        new_parser = self._library.plain("arv_camera_create_chunk_parser", c_void_p, c_void_p)
        self._parser: int = new_parser(camera.pointer)

    def read(self, buffer: int) -> dict[str, float]:
        """The values in a whole frame's buffer; of a chunk that is not in it there is none."""
        found = {}
        for fact, is_real in self._real.items():
            kind, result = ("float", c_double) if is_real else ("integer", c_int64)
            feature = f"Chunk{CHUNKS[fact]}".encode()
            try:
                found[fact] = self._library.call(
                    f"arv_chunk_parser_get_{kind}_value",
                    result,
                    (c_void_p, self._parser),
                    (c_void_p, buffer),
                    (c_char_p, feature),
                )
            except AravisError:
                continue  # what the frame does not say is not known of it
        return found

    def close(self) -> None:
        """Let go of the parser."""
        self._library.unref(self._parser)
