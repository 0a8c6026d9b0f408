"""A PLC behind a gateway, with a belt of one part at a time and a link that fails."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from faults.audit import Opening, Part
from faults.belt import FileView
from faults.parts import Picture
from support.gateway import function_block, value_in
from support.s7 import S7Plc
from support.structured_text import FunctionBlock

TRAVEL_MS: Final = 300
TOLERANCE_MS: Final = 50
ANSWER_MS: Final = 150
_PAUSE_SECONDS: Final = 0.03
_NOTHING: Final = [0] * 40
_READY: Final = 0x81
"""Online and TriggerReady."""


class FailingLink:
    """A hop between PLC and gateway that cuts connections, refuses new ones, or holds back what passes."""

    def __init__(self, port: int) -> None:
        self.held = threading.Event()
        self.refused = threading.Event()
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._cuts = 0
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    def cut(self) -> None:
        """End every connection; what it held is gone."""
        self._cuts += 1

    def close(self) -> None:
        """End."""
        self._ended.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.refused.is_set():
                    near.close()
                    continue
                try:
                    far = socket.create_connection(("127.0.0.1", self._to), 1)
                except OSError:
                    near.close()
                    continue
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        """What a side sent before it ended is delivered too, however late: as the hosts' kernels do."""
        kept, is_open, cuts = bytearray(), True, self._cuts
        source.settimeout(0.005)
        with contextlib.suppress(OSError), source, sink:
            while (is_open or kept) and cuts == self._cuts and not self._ended.is_set():
                if is_open:
                    with contextlib.suppress(TimeoutError):
                        data = source.recv(65_536)
                        is_open = bool(data)
                        kept += data
                else:
                    time.sleep(0.005)
                if kept and not self.held.is_set():
                    sink.sendall(kept)
                    kept.clear()


class PartProgram(Protocol):
    """What a PLC runs for one part at a time."""

    def cycle(self, status: list[int] | None, now_ms: int, *, eye: bool) -> list[int]:
        """One cycle: the control words to write."""

    @property
    def outcome(self) -> bool | None:
        """In the cycle in which a part is at the gate: whether it opened."""

    @property
    def acquired(self) -> str:
        """Name on the bus of the part that was acknowledged last."""


class BitProgram:
    """The function block of a page, as it stands there; by default, by bits."""

    def __init__(self, page: Callable[..., FunctionBlock] = function_block) -> None:
        self._block = page(Travel=TRAVEL_MS, Tolerance=TOLERANCE_MS, Answer=ANSWER_MS)

    def cycle(self, status: list[int] | None, now_ms: int, *, eye: bool) -> list[int]:
        """See `PartProgram.cycle`."""
        self._block.cycle(Status=status or _NOTHING, ReadOk=status is not None, Now=now_ms, Eye=eye)
        control: list[int] = self._block.vars.Control
        return control

    @property
    def outcome(self) -> bool | None:
        """See `PartProgram.outcome`."""
        v = self._block.vars
        return bool(v.Open) if v.Open or v.Reject else None

    @property
    def acquired(self) -> str:
        """See `PartProgram.acquired`."""
        v = self._block.vars
        return f"{v.Number}-{v.AcquisitionHigh << 16 | v.AcquisitionLow}"


class NumberProgram:
    """The same by the fast hand-shake, with the same conditions for a pass."""

    def __init__(self) -> None:
        self._control = [0] * 34
        self._began: int | None = None
        self._acquisition = 0
        self._passes = self._is_known_reject = False
        self._heartbeat = (0, 0)
        self._opened: bool | None = None

    def cycle(self, status: list[int] | None, now_ms: int, *, eye: bool) -> list[int]:
        """See `PartProgram.cycle`."""
        control, self._opened = self._control, None
        control[0], control[1] = 1, (control[1] + 1) & 0xFFFF
        is_online = False
        if status is not None:
            if status[1] != self._heartbeat[0]:
                self._heartbeat = (status[1], now_ms)
            is_online = bool(status[0] & 0x80) and now_ms - self._heartbeat[1] < 1000
        if self._began is not None:
            self._go_on(status if is_online else None, now_ms)
        elif eye:
            self._began, self._acquisition, self._passes = now_ms, 0, False
            self._is_known_reject = status is None or not is_online or not status[0] & 1
            if not self._is_known_reject:
                control[32] = control[32] % 0xFFFF + 1
                control[3] = control[32]
        if status is not None and status[0] >> 11 & 1:
            control[33] = status[17]
        return control

    def _go_on(self, status: list[int] | None, now_ms: int) -> None:
        assert self._began is not None
        gone = now_ms - self._began
        if status is None:
            self._is_known_reject = True
        elif not self._acquisition:
            if gone > ANSWER_MS or (status[10] == self._control[32] and status[11] == 2):
                self._is_known_reject = True
            elif status[10] == self._control[32] and status[11] == 1:
                self._acquisition = value_in(status, "acquisition_id")
        has_result = status is not None and self._acquisition and status[0] >> 11 & 1
        if has_result and value_in(status, "inspection_id") == self._acquisition:
            self._passes = status[20] == 1 and status[21] == status[17] ^ 0xA55A
        if gone >= TRAVEL_MS:
            self._opened = self._passes and not self._is_known_reject and gone <= TRAVEL_MS + TOLERANCE_MS
            self._began = None

    @property
    def outcome(self) -> bool | None:
        """See `PartProgram.outcome`."""
        return self._opened

    @property
    def acquired(self) -> str:
        """See `PartProgram.acquired`."""
        return f"{self._control[32]}-{self._acquisition}"


class PlcBlocks(Protocol):
    """What a PLC has of a gateway: words that it writes, and words that it reads."""

    def exchange(self, control: list[int]) -> list[int] | None:
        """Write and read; None where either fails."""

    def close(self) -> None:
        """End."""


class S7Blocks:
    """The data blocks of an S7, which are there whatever becomes of the gateway."""

    def __init__(self, plc: S7Plc) -> None:
        self._plc = plc

    def exchange(self, control: list[int]) -> list[int]:
        """See `PlcBlocks.exchange`."""
        self._plc.control[:] = struct.pack(">34H", *control)
        time.sleep(0.002)  # its cycle
        return self._plc.status

    def close(self) -> None:
        """See `PlcBlocks.close`."""
        self._plc.close()


class Plc:
    """Parts one after the other before a camera, each triggered, and each passed or not.

    Args:
        blocks: what it has of the gateway.
        program: what the PLC runs.
        view: what the camera sees.
        next_picture: another part.
    """

    def __init__(
        self, blocks: PlcBlocks, program: PartProgram, view: FileView, next_picture: Callable[[], Picture]
    ) -> None:
        self.parts: dict[str, Part] = {}
        self.openings: list[Opening] = []
        self.reads = 0
        self.pause_seconds = 0.0
        """After each cycle; 0: as many cycles as the gateway answers."""
        self.results: dict[int, tuple[int, int]] = {}
        """By InspectionID: when its part was triggered (UTC), and its result was read first (monotonic)."""
        self._triggered_utc_ns = 0
        self._blocks = blocks
        self._program, self._view, self._next_picture = program, view, next_picture

    def inspect(self) -> None:
        """Have one part pass, from the camera to the gate."""
        time.sleep(_PAUSE_SECONDS)
        picture = self._next_picture()
        hashes = self._view.show(picture)
        part = Part("", picture.good, {"eye": hashes}, time.monotonic_ns())
        self._cycle(eye=False)
        part.triggered_ns, self._triggered_utc_ns = time.monotonic_ns(), time.time_ns()
        self._cycle(eye=True)
        while (opened := self._program.outcome) is None:
            self._cycle(eye=False)
        part.trigger_id = self._program.acquired
        if part.trigger_id in self.parts:  # it was never acknowledged: the name is that of the one before
            part.trigger_id = f"{len(self.openings)}-none"
        self.parts[part.trigger_id] = part
        self.openings.append(Opening(part.trigger_id, opened, time.monotonic_ns()))

    def run_idle(self, seconds: float) -> None:
        """Go on without parts."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._cycle(eye=False)

    def run_until_ready(self, seconds: float) -> None:
        """Go on without parts until triggers are taken, for so long at most."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self._status is None or self._status[0] & _READY != _READY):
            self._cycle(eye=False)

    def close(self) -> None:
        """Disconnect."""
        self._blocks.close()

    def _cycle(self, *, eye: bool) -> None:
        self.reads += 1
        control = self._program.cycle(self._status, time.monotonic_ns() // 1_000_000, eye=eye)
        self._status = self._blocks.exchange(control)
        if self._status is None:
            time.sleep(0.01)
        elif self._status[0] >> 11 & 1:
            number = value_in(self._status, "inspection_id")
            self.results.setdefault(number, (self._triggered_utc_ns, time.monotonic_ns()))
        time.sleep(self.pause_seconds)

    _status: Any = None
