"""The two GigE Vision cameras under contract; their makers share no code."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from faults.gige_camera import ADDRESS, GigeLiveCamera
from support import gige_camera

from camera_contract.camera import NAME, TRIGGERED, LiveContractCamera
from camera_contract.wide import WIDE_ADDRESS, WIDE_FROM, WideIdsRelay
from inspectd.wire import Verdict

_EYE: Final = 'trigger_source = "Software"\nlatency_ms = 10\n'
"""Aravis' fake and viva-genicam's have no line that anybody could pull: their own process pulls this."""
_OTHER_CLOCK: Final = "ask_time = false\n"
"""viva-genicam's fake stamps frames since it was started, and says its time since it was switched on."""
_LATER_SECONDS: Final = 0.02
"""The photo eye sees a part so long after its trigger was taken: longer than `latency_ms`."""
_PROCESS: Final = Path(gige_camera.__file__).with_name("chunk_fake.py")


class SensorContractCamera(LiveContractCamera):
    """Aravis' fake, whose pictures are the program's own.

    Args:
        folder: for what it sees.
        more: settings of it.
        eye: a photo eye fires it; else it runs free.
        fast_ppm: its clock runs so much too fast.
    """

    undated = 1

    def __init__(self, folder: Path, more: str = "", *, eye: bool = True, fast_ppm: int = 0) -> None:
        self._eye = eye
        self._fast_ppm = fast_ppm
        live = "latency_ms = 60\n"
        super().__init__(lambda: GigeLiveCamera(folder / "scene", ()), more + (_EYE if eye else live))
        self.cameras: list[GigeLiveCamera] = []

    def plug_in(self) -> None:
        """See `ContractCamera.plug_in`."""
        super().plug_in()
        assert isinstance(self.camera, GigeLiveCamera)
        self.cameras.append(self.camera)
        self.camera.tell("fast", self._fast_ppm)

    def fire(self, number: int) -> None:
        """See `ContractCamera.fire`."""
        if self._eye:
            time.sleep(_LATER_SECONDS)
            self.cameras[-1].tell("eye")


class RevokedContractCamera(SensorContractCamera):
    """Half way another program ends the line's control of it."""

    def unplug(self) -> None:
        """See `ContractCamera.unplug`."""
        self.cameras[-1].tell("free")

    def plug_in(self) -> None:
        """See `ContractCamera.plug_in`."""
        if not self.cameras:
            super().plug_in()


class ChunkContractCamera:
    """viva-genicam's fake, which numbers its frames from 1 on and says how each was taken.

    Args:
        more: settings of it.
        revoked: half way its control is taken away, instead of its power.
        fake: what `chunk_fake` understands: packets that are lost, registers that are slow.
        address: where the line looks for it.
    """

    NUMBERED_FROM = 1
    undated = 1

    def __init__(
        self, more: str = "", *, revoked: bool = False, fake: Mapping[str, object], address: str = ADDRESS
    ) -> None:
        self._more = more
        self._revoked = revoked
        self._address = address
        self._command = [sys.executable, str(_PROCESS), ADDRESS, json.dumps(fake)]
        self._process: subprocess.Popen[str] | None = None
        self._sent = 0
        self._since: dict[int, tuple[int, int]] = {}
        """Of each part, how often it had been unplugged, and its frames since then, this one included."""
        self._unplugged = 0
        self._never_taken: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._switch_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._switch_off()

    def table(self) -> str:
        """See `ContractCamera.table`."""
        return (
            f'\n[[cameras]]\nkind = "genicam"\nname = "{NAME}"\nrecipe = "part"\n'
            f'device = "ip:{self._address}"\n{_EYE}{TRIGGERED}{_OTHER_CLOCK}{self._more}\n'
        )

    def put(self, number: int) -> None:
        """It draws a picture of its own."""

    def fire(self, number: int) -> None:
        """See `ContractCamera.fire`."""
        self._tell(f"trigger 1 {1 / _LATER_SECONDS:g}")
        self._sent += 1
        self._since[number] = self._unplugged, self._sent

    def is_of(self, number: int, verdict: Verdict) -> bool:
        """See `ContractCamera.is_of`."""
        if number not in self._since or verdict.device is None or verdict.device.frame_id is None:
            return False
        unplugged, sent = self._since[number]
        frame = verdict.device.frame_id - self.NUMBERED_FROM + 1
        # It was fired before it was started again: such frames it never took.
        never_taken = self._never_taken.setdefault(unplugged, sent - frame)
        return never_taken >= 0 and frame == sent - never_taken

    def unplug(self) -> None:
        """See `ContractCamera.unplug`."""
        self._unplugged += 1
        if self._revoked:
            self._tell("free")  # and it goes on counting
        else:
            self._sent = 0
            self._switch_off()

    def plug_in(self) -> None:
        """See `ContractCamera.plug_in`."""
        if not self._revoked:
            self._switch_on()

    def _tell(self, words: str) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{words}\n")
        process.stdin.flush()
        said = process.stdout.readline()
        assert said == "done\n", f"the camera was told to {words}, and ended"

    def _switch_on(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the camera did not start"

    def _switch_off(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()


class WideContractCamera(ChunkContractCamera):
    """The same with the numbers of GigE Vision 2.x, which are 64 bits wide and do not wrap."""

    NUMBERED_FROM = WIDE_FROM

    def __init__(self) -> None:
        one_packet = "packet_bytes = 12000\nchunks = false\n"
        super().__init__(one_packet, fake={"fps": 200, "side": 100}, address=WIDE_ADDRESS)
        self._relay = ExitStack()

    def _switch_on(self) -> None:
        super()._switch_on()
        self._relay.enter_context(WideIdsRelay())

    def _switch_off(self) -> None:
        self._relay.close()
        super()._switch_off()
