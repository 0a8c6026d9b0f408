"""A GenICam camera: one of GigE Vision, read through Aravis."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.capture.driver import CameraError, CameraSettingsError, Facts, Frame
from inspectd.capture.genicam.aravis import AravisCamera, library
from inspectd.capture.genicam.chunks import ChunkReader, set_chunks
from inspectd.capture.genicam.device_clock import DeviceClock, FrameSpan
from inspectd.capture.genicam.features import apply_settings, set_packets, set_up
from inspectd.capture.genicam.frame_ids import FrameIds
from inspectd.capture.genicam.gvcp import (
    ControlWatch,
    GigeIdentity,
    heartbeat_ms,
    is_controlled,
    is_there,
    path_mtu_bytes,
)
from inspectd.capture.genicam.pixel_formats import PixelFormat, format_of, to_picture
from inspectd.capture.genicam.selection import find_camera
from inspectd.capture.genicam.stream import AravisStream, StreamedFrame
from inspectd.records import UNSET, CameraSettings, Quality

logger = logging.getLogger("inspectd.capture")

_POLL_MS: Final = 20.0
_MOST_SOCKET_BYTES: Final = Path("/proc/sys/net/core/rmem_max")


class _OpenCamera:
    """A camera under control, its stream, and what was learnt of its frames since it was opened."""

    def __init__(self, address: str, camera: AravisCamera, stream: AravisStream, watch: ControlWatch) -> None:
        self.address = address
        self.camera = camera
        self.stream = stream
        self.watch = watch
        self.ids = FrameIds()
        self.clock = DeviceClock()
        self.is_there = True

    def next_frame(self) -> StreamedFrame | None:
        """The next frame, within 20 ms.

        Raises:
            CameraError: control is lost.
        """
        if not self.camera.has_control:
            raise CameraError("is no longer under this line's control, or does not answer")
        return self.stream.next_frame(_POLL_MS)

    def close(self) -> None:
        """Close in order: stop, stream, control.

        A camera that is gone is waited for by Aravis for seconds at each step. That is then done beside, so
        that its return is not missed; nothing waits for it, and it ends by itself.
        """
        self.watch.close()
        if not self.is_there:
            threading.Thread(target=self._let_go, name="camera that is gone", daemon=True).start()
            return
        try:
            self.camera.do("stop_acquisition")
        except CameraError as error:
            # It is let go of either way, and whoever opens it next hears what is wrong.
            logger.warning("camera did not stop: %s", error)
        self._let_go()

    def _let_go(self) -> None:
        self.stream.close()
        self.camera.close()


class GenicamDriver:
    """Reads one camera, which it alone controls, and says of every frame what is known of it.

    Args:
        settings: of the camera.
    """

    def __init__(self, settings: config.GenicamCamera) -> None:
        self._settings = settings
        self._open: _OpenCamera | None = None
        self._address: str | None = None
        self._found: GigeIdentity | None = None
        self._format: PixelFormat | None = None
        self._shape: tuple[int, ...] = ()
        self._held: StreamedFrame | None = None
        self._frame_by_ns = 0
        self._earliest_ns = 0
        self._remark = ""

    def open(self, beat: Callable[[], None]) -> None:
        """Find the camera, take control, set it and start it.

        Raises:
            CameraError: it is not there, another program controls it, or it cannot be set as it should be.
        """
        self.close()
        beat()
        try:
            self._start(beat)
        except CameraError as error:
            self.close()
            raise CameraError(f"{self._settings.device}: {error}") from error

    def _start(self, beat: Callable[[], None]) -> None:
        library()  # what is missing here is said before anybody looks for a camera
        found = find_camera(self._settings.device, self._address)
        self._address, self._found = found.address, found
        beat()
        # Asked beforehand: Aravis goes on asking for control for five seconds.
        if is_controlled(found.address):
            raise CameraError(_shared(found))
        with ExitStack() as undo:
            watch = undo.enter_context(ControlWatch(found.address))
            camera = AravisCamera(found.interface, found.address)
            undo.callback(camera.close)
            if not camera.has_control:
                raise CameraError(_shared(found))
            beat()
            self._format = set_up(camera, self._settings)
            chunks = set_chunks(camera, self._settings)
            set_packets(camera, self._settings.packet_bytes)
            beat()
            self._shape = (camera.whole("Height"), camera.whole("Width"), self._format.picture_channels)
            self._remark = "; ".join(filter(None, (_socket_remark(camera.payload_bytes()), chunks.remark)))
            stream = AravisStream(camera, ChunkReader(camera, chunks.facts))
            self._open = _OpenCamera(found.address, camera, stream, watch)
            undo.pop_all()
        self._earliest_ns = time.monotonic_ns()
        self._await_frame(self._earliest_ns)
        camera.do("start_acquisition")
        beat()

    def apply(self, settings: CameraSettings) -> None:
        """Set exposure time and gain; see `apply_settings`.

        Raises:
            CameraSettingsError: it is closed, or cannot be set so.
        """
        if self._open is None:
            raise CameraSettingsError("it is not open")
        # Asked beforehand: of a camera that is gone Aravis waits for seconds, and its return would be missed.
        if settings != UNSET and not is_there(self._open.address):
            self._open.is_there = False
            raise CameraSettingsError("it does not answer")
        apply_settings(self._open.camera, settings)

    def shape_ahead(self) -> tuple[int, ...] | None:
        """Shape of its frames, where a signal at one of its inputs starts them."""
        is_waiting = self._open is not None and self._settings.trigger_source is not None
        return self._shape if is_waiting else None

    def due_seconds(self) -> float:
        """0: frames are read as they come."""
        return 0.0

    def poll(self) -> bool:
        """Wait 20 ms at most for a frame; True once there is one.

        Raises:
            CameraError: the camera is gone, or under another's control, or runs free and gives no frame.
        """
        if self._held is not None:
            return True
        opened = self._opened()
        now_ns = time.monotonic_ns()
        if not opened.is_there:
            raise CameraError(f"{self._settings.device}: does not answer; is it switched on and connected?")
        try:
            opened.watch.turn(now_ns)
            self._held = opened.next_frame()
        except CameraError as error:
            opened.is_there = False
            raise CameraError(f"{self._settings.device}: {error}") from error
        if self._held is None and self._settings.trigger_source is None and now_ns > self._frame_by_ns:
            raise CameraError(
                f"{self._settings.device}: answers, but delivered no frame for "
                f"{self._settings.stall_timeout_ms / 1000:g} s; do packets of its size get through "
                "(packet_bytes), and is no firewall between?"
            )
        return self._held is not None

    def read(self) -> Frame | None:
        """The next frame; one that is not whole is black, and `partial`.

        Raises:
            CameraError: see `poll`.
        """
        while not self.poll():
            pass
        raw, self._held = self._held, None
        if raw is None:  # poll() has just said otherwise
            raise CameraError(f"{self._settings.device}: gave no frame")
        opened = self._opened()
        self._await_frame(raw.arrival_ns)
        lost = opened.ids.lost_before(raw.frame_id)
        span = self._span(opened, raw)
        remarks = [self._remark, opened.ids.take_remark()]
        self._remark = ""
        if raw.problem:
            remarks.append(
                f"frame {raw.frame_id} is not whole: {raw.problem}, up to {raw.missing_packets} packets are "
                "missing (docs/cameras.md, lost packets)"
            )
        return Frame(
            np.zeros(self._shape, np.uint8) if raw.problem else self._picture(raw),
            span.captured_ns,
            time.time_ns() - (time.monotonic_ns() - span.captured_ns),
            (raw.arrival_ns - span.captured_ns) / 1e6,
            doubt_ns=span.doubt_ns,
            never_repeats=True,
            flaw=Quality.PARTIAL if raw.problem else Quality.OK,
            lost_before=lost,
            remark=opened.clock.take_remark(),
            transfer_remark="; ".join(filter(None, remarks)),
            bit_depth=self._format.bit_depth if self._format is not None else 8,
            device=raw.facts,
        )

    def _span(self, opened: _OpenCamera, raw: StreamedFrame) -> FrameSpan:
        """When it was stamped; where the clocks do not show it, from the frame before to its arrival."""
        span = None
        if raw.frame_id:  # else its stamp was lost with its number
            span = opened.clock.place(raw.device_ns, raw.arrival_ns, waited=raw.waited and not raw.problem)
        if span is None:
            span = FrameSpan(self._earliest_ns, raw.arrival_ns - self._earliest_ns)
        # A camera sends frames in the order it took them, and none from before it was started.
        captured_ns = max(span.captured_ns, self._earliest_ns)
        self._earliest_ns = captured_ns
        return FrameSpan(captured_ns, max(0, span.captured_ns + span.doubt_ns - captured_ns))

    def slot_bytes(self, first: Frame) -> int:
        """Bytes of its frames, which are all of one size."""
        return first.pixels.nbytes

    def facts(self) -> Facts:
        """What it is, its pixel formats, and what decides whether its packets arrive."""
        if self._open is None or self._found is None:
            return {}
        camera = self._open.camera
        return {
            "camera": str(self._found),
            "pixel_format": camera.text("PixelFormat"),
            "pixel_formats": " ".join(camera.choices("PixelFormat")),
            "reached_through": self._found.interface,
            "path_mtu_bytes": path_mtu_bytes(self._found.address),
            "packet_bytes": camera.packet_bytes(),
            "frame_bytes": camera.payload_bytes(),
            "most_socket_bytes": _most_socket_bytes(),
            "heartbeat_ms": heartbeat_ms(self._found.address) or "not known",
        }

    def close(self) -> None:
        """Stop the camera and give control back."""
        opened, self._open, self._held = self._open, None, None
        if opened is not None:
            opened.close()

    def _opened(self) -> _OpenCamera:
        if self._open is None:
            raise CameraError(f"{self._settings.device}: is not open")
        return self._open

    def _await_frame(self, now_ns: int) -> None:
        self._frame_by_ns = now_ns + int(self._settings.stall_timeout_ms * 1e6)

    def _picture(self, raw: StreamedFrame) -> NDArray[np.uint8]:
        try:
            if self._format is None or raw.pixel_code != self._format.code:
                self._format = format_of("another format than it said", raw.pixel_code)
            picture = to_picture(raw.data, self._format, raw.height, raw.width, raw.padding_bytes)
        except CameraError as error:
            raise CameraError(f"{self._settings.device}: {error}") from error
        self._shape = picture.shape
        return picture


def _shared(found: GigeIdentity) -> str:
    return f"another program controls it ({found}); close that program, or wait some seconds if it died"


def _most_socket_bytes() -> int:
    """Most that a socket may hold; 0 where the system does not say."""
    try:
        return int(_MOST_SOCKET_BYTES.read_text())
    except (OSError, ValueError):
        return 0


def _socket_remark(payload_bytes: int) -> str:
    """A warning where the system lets a socket hold less than one frame."""
    most = _most_socket_bytes()
    if not most or most >= payload_bytes:
        return ""
    return (
        f"the system lets a socket hold {most} bytes, and a frame has {payload_bytes}: packets may be lost "
        f"when this machine is busy; set net.core.rmem_max to {2 * payload_bytes} (docs/cameras.md)"
    )
