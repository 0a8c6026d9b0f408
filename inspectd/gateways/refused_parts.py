"""Parts whose triggers a gateway refused by itself: the line is told, for they may be before its cameras.

A line gives a frame to the newest trigger before it. One that it never hears of would leave the next part's
picture to the part before. One that it hears of after the trigger of a later part is dated too late: the
later part could be given this one's picture, or lose its own. So no trigger is sent before the line has
answered what it was told of those before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from inspectd import log
from inspectd.client import AsyncTriggerSender, TriggerAnswer, TriggerRequest
from inspectd.gateways.settings import GatewayLine
from inspectd.gateways.trying_again import answer_to

_LOOK_SECONDS: Final = 2.0
_TELL_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.2
"""From a telling that the line did not answer to the next."""

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
        self._all_told = asyncio.Event()
        self._all_told.set()
        self._is_said = False

    def add(self) -> None:
        """A trigger came just now that may not be sent; several that wait are told at once."""
        self._untold.set()
        self._all_told.clear()

    async def ask(
        self, trigger: TriggerRequest, sender: AsyncTriggerSender, until: float
    ) -> TriggerAnswer | None:
        """Have the line asked for a part, once it has heard of those that were refused before.

        Args:
            trigger: of the part.
            sender: of triggers, at the same line.
            until: when the answer must be there, by the clock.

        Returns:
            The line's answer. None: there was none in time. The trigger may not have been sent, and the line
            is told of its part as of a refused one.
        """
        answer = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until - self._clock()):
                await self._all_told.wait()
        left = until - self._clock()
        if left > 0 and self._all_told.is_set():
            asked = msgspec.structs.replace(trigger, line=self._line.meant)
            answer = await answer_to(asked, sender, self._control, left)
        if answer is None:
            self.add()
        return answer

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
                    if answer is None:
                        self._untold.set()
                        await asyncio.sleep(_AGAIN_SECONDS)
                    elif not self._untold.is_set():  # else one more came before the line answered
                        self._all_told.set()
                sender.keep()

    def _say(self, *, is_told: bool) -> None:
        if not is_told and not self._is_said:
            detail = (
                "a trigger was refused here, and the line did not answer when it was told so: a picture of "
                "that part may be taken for one of the part before; none is triggered until it answers"
            )
            log.event(_log, logging.WARNING, "line_not_told", endpoint=self._control, detail=detail)
        self._is_said = not is_told
