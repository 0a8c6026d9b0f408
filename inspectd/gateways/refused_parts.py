"""Parts whose triggers a gateway refused by itself: the line is told, for they may be before its cameras.

A line gives a frame to the newest trigger before it. One that it never hears of would leave the next part's
picture to the part before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from inspectd import log
from inspectd.client import AsyncTriggerSender, TriggerRequest
from inspectd.gateways.settings import GatewayLine
from inspectd.gateways.trying_again import answer_to

_LOOK_SECONDS: Final = 2.0
_TELL_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


def refused_part(line: str) -> TriggerRequest:
    """A trigger that `line` refuses, and that counts for all of its cameras: it names none."""
    return TriggerRequest("refused", cameras=[], line=line)


class RefusedParts:
    """Tells a line of them, by a connection of its own: the one for triggers may wait for an answer.

    Args:
        control: the line's control socket.
        line: the line.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, control: str, line: GatewayLine, clock: Callable[[], float]) -> None:
        """There was none yet."""
        self._control, self._line, self._clock = control, line, clock
        self._untold = asyncio.Event()
        self._is_said = False

    def add(self) -> None:
        """A trigger came just now that may not be sent; several that wait are told at once."""
        self._untold.set()

    async def run(self) -> None:
        """Tell the line until it is cancelled.

        Raises:
            InputError: the endpoint or a key file cannot be used at the start.
        """
        async with AsyncTriggerSender(self._control, self._line.keys, self._clock) as sender:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._untold.wait()
                if self._untold.is_set():
                    self._untold.clear()
                    told = refused_part(self._line.meant)
                    answer = await answer_to(told, sender, self._control, _TELL_SECONDS)
                    self._say(is_told=answer is not None)
                sender.keep()

    def _say(self, *, is_told: bool) -> None:
        if not is_told and not self._is_said:
            detail = (
                "a trigger was refused here, and the line did not answer when it was told so: a picture of "
                "that part may be taken for one of the part before"
            )
            log.event(_log, logging.WARNING, "line_not_told", endpoint=self._control, detail=detail)
        self._is_said = not is_told
