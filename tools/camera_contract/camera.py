"""What a camera under contract has to be able to do, and those whose pictures are known by their bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Protocol, Self

import numpy as np
from faults.live import LiveCamera
from faults.parts import SIDE, Picture

from inspectd.wire import Verdict

NAME: Final = "cam"
TRIGGERED: Final = 'mode = "triggered"\n'
SOON: Final = "reconnect_max_ms = 300\n"
"""For kinds that wait for up to ten seconds, unless told otherwise, before a camera is opened again."""


class ContractCamera(Protocol):
    """A camera that parts come by, which can be unplugged.

    Attributes:
        undated: parts that come by before anything shows that its frames are new: it does not say its time.
    """

    undated: int

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def table(self) -> str:
        """Its table in a configuration, as camera `cam` that judges by the recipe `part`."""

    def put(self, number: int) -> None:
        """A part comes before it; called before the part's trigger is sent."""

    def fire(self, number: int) -> None:
        """The photo eye sees the part: its trigger was taken. Of a camera that runs free: nothing."""

    def is_of(self, number: int, verdict: Verdict) -> bool:
        """Whether the frame of a verdict shows this part; asked in the order of the parts."""

    def unplug(self) -> None:
        """Take it away, or whatever else happens to it half way."""

    def plug_in(self) -> None:
        """It is there again when this returns."""


def numbered(number: int) -> Picture:
    """The picture of a part, `(128, 128, 3) uint8` of noise: another one for every number."""
    return Picture(
        good=True, pixels=np.random.default_rng(number).integers(40, 216, (SIDE, SIDE, 3), np.uint8)
    )


class LiveContractCamera:
    """A camera that notes the SHA-256 of every picture it takes of a part.

    Args:
        make: makes it, switched off; called anew each time it is plugged in.
        more: settings of it.
    """

    undated = 0

    def __init__(self, make: Callable[[], LiveCamera], more: str) -> None:
        self._make = make
        self._more = more
        self._taken: dict[int, set[str]] = {}
        self._on = ExitStack()

    def __enter__(self) -> Self:
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        self._on.close()

    def table(self) -> str:
        """See `ContractCamera.table`."""
        return self.camera.table(NAME, TRIGGERED + self._more)

    def put(self, number: int) -> None:
        """See `ContractCamera.put`."""
        self._taken[number] = self.camera.show(numbered(number))

    def fire(self, number: int) -> None:
        """It runs free."""

    def is_of(self, number: int, verdict: Verdict) -> bool:
        """See `ContractCamera.is_of`."""
        return verdict.frame_sha256 in self._taken[number]

    def unplug(self) -> None:
        """See `ContractCamera.unplug`."""
        self._on.close()

    def plug_in(self) -> None:
        """See `ContractCamera.plug_in`."""
        self.camera = self._on.enter_context(self._make())
        self.camera.show(numbered(0))
