"""The way to cameras through pylon, whose threads for grabbing run in the camera's own process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
from pypylon import pylon

from inspectd import config
from inspectd.capture.driver import CameraError, Facts
from inspectd.capture.genicam.camera import StreamedFrame
from inspectd.capture.genicam.chunks import CHUNKS, facts_of
from inspectd.capture.genicam.features import set_flag, set_number
from inspectd.capture.genicam.found import FoundCamera
from inspectd.capture.genicam.gvcp import ControlWatch, heartbeat_ms, is_there
from inspectd.capture.genicam.hanging import let_go_seconds, within
from inspectd.capture.genicam.names import ticks_a_second
from inspectd.capture.genicam.pylon.finding import CALLED, EMULATED, GIGE, about, find
from inspectd.capture.genicam.pylon.nodes import PylonFeatures, refusals
from inspectd.text import printable

logger = logging.getLogger("inspectd.capture")

_ASK_EVERY_NS: Final = 200_000_000
_ASKED: Final = "Width"
"""Every camera has it, and it stands in a register of its own."""
_BUFFERS: Final = 16
_NS: Final = 1_000_000_000
_NONE: Final = 0xFFFF_FFFF_FFFF_FFFF
"""A number or a stamp that a frame came without."""
_HEARTBEAT_MS: Final = 3000
"""A GigE camera whose host died is free after so long. pylon would take minutes while somebody debugs."""
_IMAGE: Final = frozenset({pylon.PayloadType_Image, pylon.PayloadType_ChunkData})


class ReachedPylonCamera:
    """A camera under control; see `genicam.camera.ReachedCamera`.

    Args:
        found: which camera.
        camera: of pylon, open.
        settings: of the camera.
        watch: asks a GigE camera who controls it; None: it is none.
    """

    why_silent = "does Basler's pylon Viewer show pictures of it on this machine?"

    def __init__(
        self, found: FoundCamera, camera: Any, settings: config.GenicamCamera, watch: ControlWatch | None
    ) -> None:
        self._found = found
        self._camera = camera
        self._settings = settings
        self._watch = watch
        self._chunk_facts: tuple[str, ...] = ()
        self._frequency_hz = 0
        self._due_ns = 0
        with refusals("its description cannot be read"):
            self._features = PylonFeatures(camera.GetNodeMap())

    @property
    def features(self) -> PylonFeatures:
        """Its features."""
        return self._features

    def make_ready(self, chunk_facts: Collection[str], beat: Callable[[], None]) -> str:
        """See `genicam.camera.ReachedCamera.make_ready`."""
        wished = self._settings.packet_bytes
        if wished is not None:
            self._features.set_whole("GevSCPSPacketSize", wished)
            answered = self._features.whole("GevSCPSPacketSize")
            if answered != wished:
                raise CameraError(f"packet_bytes was set to {wished}, and the camera says {answered}")
        self._chunk_facts = tuple(chunk_facts)
        # USB3 Vision counts nanoseconds, and has no feature that would say so.
        self._frequency_hz = ticks_a_second(self._features) or (0 if self._found.interface == GIGE else _NS)
        beat()
        with refusals("its buffers"):
            self._camera.MaxNumBuffer.SetValue(_BUFFERS)
            self._camera.ChunkNodeMapsEnable.SetValue(bool(self._chunk_facts))
        return ""

    def start(self) -> None:
        """See `genicam.camera.ReachedCamera.start`."""
        with refusals("it does not send"):
            # Frames are fetched one by one, oldest first, and pylon calls nothing of ours.
            self._camera.StartGrabbing(pylon.GrabStrategy_OneByOne, pylon.GrabLoop_ProvidedByUser)

    def turn(self, now_ns: int) -> None:
        """See `genicam.camera.ReachedCamera.turn`."""
        if self._watch is not None:
            self._watch.turn(now_ns)
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + _ASK_EVERY_NS
        why = self._why_gone()
        if why:
            raise CameraError(f"does not answer: {why}; is it switched on and connected?")

    def _why_gone(self) -> str:
        """Why it is not there; empty: it is. A GigE camera is asked beside: pylon waits too long for it."""
        try:
            with refusals("whether it is there"):
                if self._camera.IsCameraDeviceRemoved():
                    return "pylon says that it was removed"
            if self._watch is None:
                self._features.whole(_ASKED)
        except CameraError as error:
            return str(error)
        return ""

    def next_frame(self, timeout_ms: float) -> StreamedFrame | None:
        """See `genicam.camera.ReachedCamera.next_frame`."""
        with refusals("it gives no frames any more"):
            looked_ns = time.monotonic_ns()
            result = self._camera.RetrieveResult(0, pylon.TimeoutHandling_Return)
            waited = not result.IsValid()
            if waited:
                result = self._camera.RetrieveResult(int(timeout_ms), pylon.TimeoutHandling_Return)
            if not result.IsValid():
                return None
            try:
                # An emulated camera is a thread of this process, without a clock, and without a way on which
                # a frame could lie: what was not there was made after that. Of a real one it shows nothing.
                is_new = waited and self._found.interface == EMULATED
                return self._read(result, waited=waited, since_ns=looked_ns if is_new else 0)
            finally:
                result.Release()  # pylon fills its memory again from here on

    def _read(self, result: Any, *, waited: bool, since_ns: int) -> StreamedFrame:
        now_ns = time.monotonic_ns()
        number, ticks = result.GetBlockID(), result.GetTimeStamp()
        frame_id = 0 if number == _NONE else int(number)
        device_ns = 0 if ticks == _NONE or not self._frequency_hz else ticks * _NS // self._frequency_hz
        if not result.GrabSucceeded():
            # Of a broken one nothing else counts: what did not come is what the buffer held before.
            why = printable(result.GetErrorDescription()) or "pylon does not say why"
            problem = f"{why} (error 0x{result.GetErrorCode():08X})"
            return StreamedFrame(frame_id, device_ns, now_ns, waited, problem, since_ns=since_ns)
        payload = result.GetPayloadType()
        if payload not in _IMAGE:
            raise CameraError(f"sends payload of type {payload}, expected pictures; set it to send images")
        return StreamedFrame(
            frame_id,
            device_ns,
            now_ns,
            waited,
            since_ns=since_ns,
            data=np.frombuffer(result.GetBuffer(), np.uint8),  # a copy
            pixel_code=int(result.GetPixelType()),
            width=int(result.GetWidth()),
            height=int(result.GetHeight()),
            padding_bytes=int(result.GetPaddingX()),
            facts=facts_of(self._chunks(result), frame_id, device_ns),
        )

    def _chunks(self, result: Any) -> dict[str, float]:
        """The values in a frame; of a chunk that is not in it there is none."""
        if not self._chunk_facts or not result.IsChunkDataAvailable():
            return {}
        said = PylonFeatures(result.GetChunkDataNodeMap())
        found = {fact: said.number(f"Chunk{CHUNKS[fact]}") for fact in self._chunk_facts}
        return {fact: value for fact, value in found.items() if value is not None}

    def answers(self) -> bool:
        """See `genicam.camera.ReachedCamera.answers`."""
        return not self._why_gone() and (self._watch is None or is_there(self._found.ip))

    def facts(self) -> Facts:
        """What it is, and through what it is reached."""
        said: Facts = {
            "camera": str(self._found),
            "reached_through": about(),
            "transport": self._found.transport,
            "frame_bytes": self._features.whole("PayloadSize"),
        }
        if self._watch is None:
            return said
        return {
            **said,
            "packet_bytes": self._features.whole("GevSCPSPacketSize"),
            "heartbeat_ms": heartbeat_ms(self._found.ip) or "not known",
        }

    def close(self, *, is_there: bool) -> None:
        """Stop it and let go of it.

        Raises:
            LibraryHangsError: pylon does not come back.
        """
        if self._watch is not None:
            self._watch.close()
        seconds = let_go_seconds(self._settings)
        within(seconds, lambda: _let_go(self._camera, is_said=is_there), CALLED)


def _let_go(camera: Any, *, is_said: bool) -> None:
    for step in (camera.StopGrabbing, camera.Close, camera.DestroyDevice):
        try:
            with refusals("pylon"):
                step()
        except CameraError as error:
            # It is let go of either way, and whoever opens it next hears what is wrong.
            logger.log(logging.WARNING if is_said else logging.DEBUG, "camera did not stop: %s", error)


def reach(
    settings: config.GenicamCamera, last: FoundCamera | None, beat: Callable[[], None]
) -> tuple[ReachedPylonCamera, FoundCamera]:
    """Find the camera that the settings mean, and take control of it.

    Args:
        settings: of the camera.
        last: what was found before; None: nothing.
        beat: called now and then while that takes long.

    Raises:
        CameraError: it is not there, is another program's, or cannot be opened.
        LibraryHangsError: pylon does not come back.
    """
    found, create = find(settings.device, last, beat)
    beat()
    camera = pylon.InstantCamera()
    with ExitStack() as undo:
        undo.callback(
            lambda: within(let_go_seconds(settings), lambda: _let_go(camera, is_said=False), CALLED)
        )
        watch = undo.enter_context(ControlWatch(found.ip)) if found.interface == GIGE else None
        with refusals(
            f"{found} cannot be opened (is another program using it, or did one die a moment ago?)"
        ):
            # What pylon would set by itself when it opens a camera is left out: the settings say what is set.
            camera.RegisterConfiguration(None, pylon.RegistrationMode_ReplaceAll, pylon.Cleanup_None)
            camera.Attach(create(), pylon.Cleanup_Delete)
            if watch is not None:
                connection = PylonFeatures(camera.GetTLNodeMap())
                set_number(connection, "HeartbeatTimeout", _HEARTBEAT_MS)
                set_flag(connection, "ConnectionGuardEnable", value=False)
            camera.Open()
        reached = ReachedPylonCamera(found, camera, settings, watch)
        undo.pop_all()
    return reached, found
