"""What every program of the fleet is: it works until it is told to end, and shows that it lives."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any, Final

from inspectd import log
from inspectd.notify import Notifier

_KEEP_ALIVE_SECONDS: Final = 2.0


async def until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Work until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, working.cancel)
    loop.set_exception_handler(log.left_behind)  # its session has ended by it already
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def keep_alive(notifier: Notifier) -> None:
    """Show the service manager that the loop goes round."""
    while True:
        notifier.watchdog()
        await asyncio.sleep(_KEEP_ALIVE_SECONDS)
