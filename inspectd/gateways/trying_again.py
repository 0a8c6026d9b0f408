"""What a gateway that runs asks its line by a connection of its own, and asks again where none can be made.

A key file may be away for a moment, as while it is written anew, or a folder not be entered. What is
connected stays connected, and parts go on; a gateway that ended then would stop the plant.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from inspectd.client import AsyncTriggerSender, TriggerAnswer, TriggerRequest
from inspectd.client.clock import clock_seconds
from inspectd.client.locked_out import locked_out
from inspectd.client.sockets import CannotConnectError
from inspectd.errors import UnavailableError


@contextlib.contextmanager
def trying_again(endpoint: str) -> Iterator[None]:
    """Have it said where `endpoint` cannot be connected to now, and taken for a line that does not answer.

    Raises:
        UnavailableError: it cannot be made: its endpoint or a key file cannot be used.
    """
    try:
        yield
    except CannotConnectError as error:
        locked_out.cannot_connect(endpoint, str(error), clock_seconds())
        raise UnavailableError(str(error)) from error


async def answer_to(
    trigger: TriggerRequest, sender: AsyncTriggerSender, endpoint: str, timeout_seconds: float
) -> TriggerAnswer | None:
    """The line's answer; None: none came in time, or no connection could be made for it."""
    with contextlib.suppress(UnavailableError), trying_again(endpoint):
        return await sender.send(trigger, timeout_seconds)
    return None
