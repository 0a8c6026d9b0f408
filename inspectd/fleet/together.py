"""Works that belong together: the end of one is the end of all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.2


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Do all works until the first ends, and end the others.

    A work is cancelled until it is over: nats-py catches the cancellation of a flush, and `asyncio.wait_for`
    of Python 3.11 loses one that comes together with what it waits for (python/cpython#81839).

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
    for task in done:
        task.result()
