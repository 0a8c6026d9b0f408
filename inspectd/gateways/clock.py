"""When what a gateway finds came, by the clock by which it knows what is late."""

from __future__ import annotations

import asyncio
from typing import Final

from inspectd.client.clock import clock_seconds

_LOOK_SECONDS: Final = 0.02
_STOOD_STILL_SECONDS: Final = 0.1
"""More than a loop is late that does not stand still: what is found sooner is dated by when it is found."""


class ArrivalClock:
    """Dates what an event loop finds at its sockets, also after the program stood still.

    What came meanwhile then lies there as if it came now. It may have come as early as the loop looked last,
    when it was not there.
    """

    def __init__(self) -> None:
        self._looked_at = clock_seconds()

    async def run(self) -> None:
        """Note when the loop looks, until cancelled."""
        while True:
            began = clock_seconds()
            # Another turn of the loop, and what it found: the one after a standstill may find nothing yet.
            for _ in range(2):
                await asyncio.sleep(0)
            self._looked_at = began
            await asyncio.sleep(_LOOK_SECONDS)

    def came(self) -> float:
        """The earliest that what was just found can have come, as `clock_seconds`."""
        return earliest(self._looked_at, clock_seconds(), 0.0)


def earliest(looked_at: float, now: float, every_seconds: float) -> float:
    """When what is found now can have come at the earliest, where it was not there at `looked_at`.

    Args:
        looked_at: when that look began.
        now: the same clock.
        every_seconds: how often is looked: what lies within that and a moment is no delay.
    """
    return now if now - looked_at < every_seconds + _STOOD_STILL_SECONDS else looked_at
