"""The way to GigE Vision cameras through Aravis."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from inspectd import config
from inspectd.capture.driver import CameraError, Facts
from inspectd.capture.genicam.aravis import AravisCamera, library
from inspectd.capture.genicam.aravis_chunks import ChunkReader
from inspectd.capture.genicam.camera import StreamedFrame
from inspectd.capture.genicam.gvcp import (
    ControlWatch,
    GigeIdentity,
    heartbeat_ms,
    is_controlled,
    is_there,
    path_mtu_bytes,
)
from inspectd.capture.genicam.selection import find_camera
from inspectd.capture.genicam.stream import AravisStream

logger = logging.getLogger("inspectd.capture")

_MOST_SOCKET_BYTES: Final = Path("/proc/sys/net/core/rmem_max")


class ReachedGigeCamera:
    """A camera under control; see `camera.ReachedCamera`.

    Args:
        found: who it is.
        packet_bytes: size of its packets; None: to be found.
        camera: open.
        watch: asks it who controls it.
    """

    why_silent = "do packets of its size get through (packet_bytes), and is no firewall between?"

    def __init__(
        self, found: GigeIdentity, packet_bytes: int | None, camera: AravisCamera, watch: ControlWatch
    ) -> None:
        self.camera = camera
        self.stream: AravisStream | None = None
        self._found = found
        self._packet_bytes = packet_bytes
        self._watch = watch

    @property
    def features(self) -> AravisCamera:
        """Its features."""
        return self.camera

    def make_ready(self, chunk_facts: Collection[str], beat: Callable[[], None]) -> str:
        """See `camera.ReachedCamera.make_ready`."""
        self._set_packets()
        beat()
        remark = _socket_remark(self.camera.payload_bytes())
        self.stream = AravisStream(self.camera, ChunkReader(self.camera, chunk_facts))
        return remark

    def _set_packets(self) -> None:
        """Set how large its packets are, and that an ordinary socket receives them."""
        self.camera.without_packet_socket()
        answered = self.camera.find_packet_size(self._packet_bytes)
        if self._packet_bytes not in {None, answered}:
            raise CameraError(f"packet_bytes was set to {self._packet_bytes}, and the camera says {answered}")

    def start(self) -> None:
        """See `camera.ReachedCamera.start`."""
        self.camera.do("start_acquisition")

    def turn(self, now_ns: int) -> None:
        """See `camera.ReachedCamera.turn`."""
        self._watch.turn(now_ns)
        if not self.camera.has_control:
            raise CameraError("is no longer under this line's control, or does not answer")

    def next_frame(self, timeout_ms: float) -> StreamedFrame | None:
        """See `camera.ReachedCamera.next_frame`."""
        return None if self.stream is None else self.stream.next_frame(timeout_ms)

    def answers(self) -> bool:
        """See `camera.ReachedCamera.answers`."""
        # Not by Aravis: of a camera that is gone it waits for seconds, and its return would be missed.
        return is_there(self._found.address)

    def facts(self) -> Facts:
        """What it is, and what decides whether its packets arrive."""
        return {
            "camera": str(self._found),
            "reached_through": self._found.interface,
            "path_mtu_bytes": path_mtu_bytes(self._found.address),
            "packet_bytes": self.camera.packet_bytes(),
            "frame_bytes": self.camera.payload_bytes(),
            "most_socket_bytes": _most_socket_bytes(),
            "heartbeat_ms": heartbeat_ms(self._found.address) or "not known",
        }

    def close(self, *, is_there: bool) -> None:
        """Close in order: stop, stream, control.

        A camera that is gone is waited for by Aravis for seconds at each step. That is then done beside, so
        that its return is not missed; nothing waits for it, and it ends by itself.
        """
        self._watch.close()
        if not is_there:
            threading.Thread(target=self._let_go, name="camera that is gone", daemon=True).start()
            return
        if self.stream is not None:
            try:
                self.camera.do("stop_acquisition")
            except CameraError as error:
                # It is let go of either way, and whoever opens it next hears what is wrong.
                logger.warning("camera did not stop: %s", error)
        self._let_go()

    def _let_go(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.camera.close()


class GigeWay:
    """Reaches one camera; see `camera.Way`.

    Args:
        settings: of the camera.
    """

    def __init__(self, settings: config.GenicamCamera) -> None:
        self._settings = settings
        self._address: str | None = None

    def reach(self, beat: Callable[[], None]) -> ReachedGigeCamera:
        """See `camera.Way.reach`."""
        library()  # what is missing here is said before anybody looks for a camera
        found = find_camera(self._settings.device, self._address)
        self._address = found.address
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
            undo.pop_all()
        return ReachedGigeCamera(found, self._settings.packet_bytes, camera, watch)


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
