"""The camera under contract that a GenTL producer reaches; the producer is our own, and simulates it."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from support.gentl_camera import GentlCamera, picture

from camera_contract.camera import NAME, TRIGGERED
from inspectd.wire import Verdict

_EYE: Final = 'trigger_source = "Line1"\nlatency_ms = 10\n'
_LATER_SECONDS: Final = 0.02
"""The photo eye sees a part so long after its trigger was taken: longer than `latency_ms`."""
_TENTH: Final = 10


def lacks_gentl() -> str | None:
    """What this machine lacks to simulate such a camera; None: nothing."""
    if shutil.which("cc") is None:
        return "there is no C compiler (cc), which makes the GenTL producer"
    if importlib.util.find_spec("genicam") is None:
        return "the package genicam is not installed (inspectd[gentl])"
    return None


class GentlContractCamera:
    """Its picture of a part is made from the part's number, and no other part has it.

    Args:
        _: an empty folder; it has one of its own.
        more: settings of it.
        every_tenth: what goes wrong with every tenth frame, as its producer calls it; empty: nothing.
    """

    undated = 0

    def __init__(self, _: Path, more: str = "", *, every_tenth: str = "") -> None:
        self._more = more
        self._every_tenth = every_tenth
        self._on = ExitStack()

    def __enter__(self) -> Self:
        self.camera = self._on.enter_context(GentlCamera())
        return self

    def __exit__(self, *_: object) -> None:
        self._on.close()

    def table(self) -> str:
        """See `ContractCamera.table`."""
        reached = f'backend = "gentl"\ncti = "{self.camera.cti}"\ndevice = "serial:{self.camera.serial}"\n'
        named = f'\n[[cameras]]\nkind = "genicam"\nname = "{NAME}"\nrecipe = "part"\n'
        return f"{named}{reached}{_EYE}{TRIGGERED}{self._more}\n"

    def put(self, number: int) -> None:
        """The photo eye will know it."""

    def fire(self, number: int) -> None:
        """See `ContractCamera.fire`."""
        time.sleep(_LATER_SECONDS)
        if self._every_tenth and number % _TENTH == 0:
            self.camera.tell(self._every_tenth, 1)
        self.camera.tell("fire", number)

    def is_of(self, number: int, verdict: Verdict) -> bool:
        """See `ContractCamera.is_of`."""
        return verdict.frame_sha256 == hashlib.sha256(picture(number).tobytes()).hexdigest()

    def unplug(self) -> None:
        """See `ContractCamera.unplug`."""
        self.camera.switch_off()

    def plug_in(self) -> None:
        """See `ContractCamera.plug_in`."""
        self.camera.switch_on()


class RevokedGentlCamera(GentlContractCamera):
    """Half way another program takes control of it."""

    def unplug(self) -> None:
        """See `ContractCamera.unplug`."""
        self.camera.tell("revoke")

    def plug_in(self) -> None:
        """It was there all the time."""


class HangingGentlCamera(GentlContractCamera):
    """Half way its producer does not come back from the wait for a frame."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "stall_timeout_ms = 500\n")
        self._hanging = ExitStack()

    def unplug(self) -> None:
        """See `ContractCamera.unplug`."""
        self._hanging.enter_context(self.camera.hanging("EventGetData"))

    def plug_in(self) -> None:
        """See `ContractCamera.plug_in`."""
        self._hanging.close()
