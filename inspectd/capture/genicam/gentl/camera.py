"""The way to cameras through a GenTL producer, whose library runs in the camera's own process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from ctypes import byref, c_size_t, create_string_buffer
from typing import Final

from inspectd import config
from inspectd.capture.driver import CameraError, Facts
from inspectd.capture.genicam.camera import StreamedFrame
from inspectd.capture.genicam.found import FoundCamera, choose, is_meant
from inspectd.capture.genicam.gentl.nodes import NodeFeatures
from inspectd.capture.genicam.gentl.producer import Closing, Producer, borrow
from inspectd.capture.genicam.gentl.producer_library import GentlError, ProducerLibrary
from inspectd.capture.genicam.gentl.standard import (
    AccessStatus,
    DeviceInfo,
    EventData,
    EventInfo,
    EventType,
    Gc,
)
from inspectd.capture.genicam.gentl.stream import GentlStream
from inspectd.capture.genicam.hanging import let_go_seconds, within
from inspectd.capture.genicam.names import ticks_a_second
from inspectd.text import printable

logger = logging.getLogger("inspectd.capture")

_ASK_EVERY_NS: Final = 200_000_000
_ASKED: Final = "Width"
"""Every camera has it, and it stands in a register of its own."""
_QUIET_NS: Final = 10_000_000_000
"""A producer may report the same for every frame: it is said once in so long."""
_LEAST_EVENT_BYTES: Final = 1024
_MOST_EVENT_BYTES: Final = 1 << 16
_OURS: Final = AccessStatus.OPEN_READWRITE


class ReachedGentlCamera:
    """A camera under control; see `genicam.camera.ReachedCamera`.

    Args:
        library: of the producer.
        producer: open.
        found: which camera.
        device: its handle.
        closing: closes all of it.
        let_go_seconds: so long it may take the producer to let go of it.
    """

    why_silent = "does the viewer of its vendor show pictures of it on this machine?"

    def __init__(
        self,
        library: ProducerLibrary,
        producer: Producer,
        found: FoundCamera,
        device: int,
        closing: Closing,
        *,
        let_go_seconds: float,
    ) -> None:
        self._library = library
        self._producer = producer
        self._found = found
        self._device = device
        self._closing = closing
        self._let_go_seconds = let_go_seconds
        self._stream: GentlStream | None = None
        self._due_ns = 0
        self._quiet_until_ns = 0
        self._features = NodeFeatures(library, library.handle("DevGetPort", device))
        self._errors = self._listen()
        self._says_access = self._access() == _OURS

    @property
    def features(self) -> NodeFeatures:
        """Its features."""
        return self._features

    def _listen(self) -> int | None:
        """Have the producer report errors of the camera; None: it reports none."""
        try:
            event = self._library.handle("GCRegisterEvent", self._device, EventType.ERROR)
        except GentlError:
            return None
        self._closing.later("GCUnregisterEvent", self._device, EventType.ERROR)
        return event

    def _access(self) -> int | None:
        return self._library.number("DevGetInfo", self._device, DeviceInfo.ACCESS_STATUS)

    def make_ready(self, chunk_facts: Collection[str], beat: Callable[[], None]) -> str:
        """See `genicam.camera.ReachedCamera.make_ready`."""
        self._stream = GentlStream(self._library, self._closing, self._device, self._features, chunk_facts)
        beat()
        self._stream.set_frequency(self._ticks_a_second())
        return ""

    def _ticks_a_second(self) -> int:
        found = self._library.number("DevGetInfo", self._device, DeviceInfo.TIMESTAMP_FREQUENCY)
        return found or ticks_a_second(self._features)

    def start(self) -> None:
        """See `genicam.camera.ReachedCamera.start`."""
        assert self._stream is not None, "it was not made ready"
        self._lock_settings(1)
        self._stream.start()
        self._features.execute("AcquisitionStart")

    def _lock_settings(self, value: int) -> None:
        """Have the camera refuse what would change the size of its frames, or no longer."""
        if self._features.has("TLParamsLocked"):
            self._features.set_real("TLParamsLocked", value)

    def turn(self, now_ns: int) -> None:
        """See `genicam.camera.ReachedCamera.turn`."""
        reported = self._reported()
        if not reported and now_ns < self._due_ns:
            return
        self._due_ns = now_ns + _ASK_EVERY_NS
        try:
            self._features.whole(_ASKED)
            access = self._access()
        except CameraError as error:
            told = f"; its producer reported: {reported}" if reported else ""
            raise CameraError(f"does not answer: {error}{told}; is it switched on and connected?") from error
        if self._says_access and access != _OURS:
            raise CameraError(
                "is no longer under this line's control: it restarted, or another program took it (close "
                "that program)"
            )
        if reported and now_ns >= self._quiet_until_ns:
            self._quiet_until_ns = now_ns + _QUIET_NS
            logger.warning("GenTL producer reported of %s: %s", self._found.id, reported)

    def _reported(self) -> str:
        """What the producer has reported of the camera since the last call; empty: nothing."""
        if self._errors is None:
            return ""
        most = self._library.number("EventGetInfo", self._errors, EventInfo.SIZE_MAX) or 0
        said = create_string_buffer(min(max(_LEAST_EVENT_BYTES, most), _MOST_EVENT_BYTES))
        size = c_size_t(len(said))
        try:
            self._library.call("EventGetData", self._errors, said, byref(size), 0)
        except GentlError as error:
            if error.code in {Gc.TIMEOUT, Gc.NO_DATA}:
                return ""
            self._errors = None  # it would say the same again and again
            return str(error)
        words = self._library.text("EventGetDataInfo", self._errors, said, size.value, EventData.VALUE)
        return words or "an error"

    def next_frame(self, timeout_ms: float) -> StreamedFrame | None:
        """See `genicam.camera.ReachedCamera.next_frame`."""
        return None if self._stream is None else self._stream.next_frame(timeout_ms)

    def answers(self) -> bool:
        """See `genicam.camera.ReachedCamera.answers`."""
        try:
            self._features.whole(_ASKED)
        except CameraError:
            return False
        return True

    def facts(self) -> Facts:
        """What it is, and through what it is reached."""
        stream = self._stream
        return {
            "camera": str(self._found),
            "reached_through": f"{self._producer.about()} ({self._library.path})",
            "interface": printable(self._found.interface),
            "transport": self._found.transport or "not known",
            "frame_bytes": stream.payload_bytes if stream is not None else 0,
        }

    def close(self, *, is_there: bool) -> None:
        """Close all that was opened, the producer last.

        Raises:
            LibraryHangsError: the producer does not come back.
        """
        within(self._let_go_seconds, lambda: self._let_go(is_there=is_there), self._library.called)

    def _let_go(self, *, is_there: bool) -> None:
        if self._stream is not None:
            self._stream.let_go_of_chunks()
            if is_there:
                self._try(lambda: self._features.execute("AcquisitionStop"))
                self._try(lambda: self._lock_settings(0))
            self._try(self._stream.stop)
        self._closing.close()

    @staticmethod
    def _try(step: Callable[[], None]) -> None:
        try:
            step()
        except CameraError as error:
            # It is let go of either way, and whoever opens it next hears what is wrong.
            logger.warning("camera did not stop: %s", error)


def reach(
    settings: config.GenicamCamera,
    library: ProducerLibrary,
    last: FoundCamera | None,
    beat: Callable[[], None],
) -> tuple[ReachedGentlCamera, FoundCamera]:
    """Open a producer, and take control of the camera that the settings mean.

    Args:
        settings: of the camera.
        library: of the producer.
        last: where the camera was before; None: nobody knows.
        beat: called now and then while it takes long.

    Raises:
        CameraError: the producer cannot be opened, the camera is not there, or is another program's.
        LibraryHangsError: the producer does not come back.
    """
    closing = Closing(library)
    seconds = let_go_seconds(settings)
    try:
        producer = borrow(library, closing)
        found = _find(settings.device, producer, last, beat)
        beat()
        device = producer.open_camera(found, closing)
        beat()
        reached = ReachedGentlCamera(library, producer, found, device, closing, let_go_seconds=seconds)
    except CameraError:
        within(seconds, closing.close, library.called)
        raise
    return reached, found


def _find(device: str, producer: Producer, last: FoundCamera | None, beat: Callable[[], None]) -> FoundCamera:
    by_address = device.startswith(("mac:", "ip:"))
    seen: list[FoundCamera] = []
    problems: list[str] = []
    for found in producer.cameras(beat, last.interface if last else "", addresses=by_address):
        if isinstance(found, str):
            problems.append(found)
            continue
        # Where it was last it is looked for first: the other interfaces of a machine take their time.
        if last is not None and is_meant(device, found) and (found.interface, found.id) == last[:2]:
            return found
        seen.append(found)
    return choose(device, seen, problems, "the producer")
