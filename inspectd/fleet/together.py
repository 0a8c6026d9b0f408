"""Works that belong together: the end of one is the end of all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from inspectd import log

_AGAIN_SECONDS: Final = 0.2

_log: Final = logging.getLogger(__name__)


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Do all works until the first ends, and end the others.

    A work is cancelled until it is over: nats-py catches the cancellation of a flush, and waits by
    `asyncio.wait_for`, which in Python 3.11 loses one that comes together with what it waits for
    (python/cpython#81839).

    A connection that ends is an error of every work on it. One of them says it; an error of another kind
    beside it is logged.

    Raises:
        Exception: what the first raised.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=_AGAIN_SECONDS)
    errors = {task: error for task in tasks if not task.cancelled() and (error := task.exception())}
    first = next((errors[task] for task in tasks if task in done and task in errors), None)
    for error in errors.values():
        if type(error) is not type(first):
            log.event(_log, logging.WARNING, "ended_too", error=repr(error), beside=first and repr(first))
    if first is not None:
        raise first
