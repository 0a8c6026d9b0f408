"""What gateways are as programs: they run until a signal, keep a hand-shake's time, and say how they are."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from inspectd import log
from inspectd.client.locked_out import locked_out
from inspectd.gateways.handshake import Handshake
from inspectd.gateways.settings import HandshakeSettings
from inspectd.notify import Notifier

_TICK_SECONDS: Final = 0.05
_KEEP_ALIVE_SECONDS: Final = 1.0
"""Far more often than the unit's WatchdogSec asks for it."""

_log: Final = logging.getLogger(__name__)


def handshake_of(settings: HandshakeSettings) -> Handshake:
    """A hand-shake by settings, with a random first number."""
    return Handshake(
        plant_seconds=settings.plc_timeout_ms / 1000 if settings.plc_heartbeat else None,
        pass_hold_seconds=settings.pass_hold_ms / 1000,
        recipes=settings.recipe_names,
        first_acquisition=secrets.randbelow(2**32),
        golden_parts=settings.golden_names,
        may_promote=settings.may_promote,
    )


async def until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Work until SIGTERM or SIGINT; raises what ended it otherwise, the first of a group."""
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    failure: BaseException | None = None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, working.cancel)

    def failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault in a callback ends the program, as anywhere else."""
        nonlocal failure
        failure = failure or context.get("exception") or RuntimeError(context["message"])
        working.cancel()

    loop.set_exception_handler(failed)
    try:
        await working
    except asyncio.CancelledError:
        if failure is not None:
            raise failure from failure.__cause__
    except BaseExceptionGroup as group:  # what one task raised ends them all
        first = _first(group)
        raise first from first.__cause__  # which says with what code the program ends


async def keep_time(
    handshake: Handshake, notifier: Notifier, clock: Callable[[], float], also: Callable[[], None]
) -> None:
    """Have a hand-shake do what is due, and the service manager and the log told, until it is cancelled.

    Args:
        handshake: whose time passes.
        notifier: the service manager.
        clock: seconds on a clock that never goes back, the hand-shake's.
        also: what else is due at every turn.
    """
    reason, said, said_at = None, "", clock()
    while True:
        now = clock()
        handshake.tick(now)
        also()
        if now - said_at >= _KEEP_ALIVE_SECONDS:
            notifier.watchdog()
            said_at = now
        if handshake.offline_reason is not reason:
            reason = handshake.offline_reason
            name = reason.name.lower()
            log.event(_log, logging.INFO, "offline" if reason else "online", reason=name)
        state = f"offline: {reason.name.lower()}" if reason else "online"
        status = "; ".join((state, *locked_out.problems().values()))
        if status != said:
            said = status
            notifier.status(status)
        await asyncio.sleep(_TICK_SECONDS)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
