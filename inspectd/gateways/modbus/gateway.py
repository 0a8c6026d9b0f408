"""The Modbus TCP gateway as a program: the server, the hand-shake and the line's side in one event loop."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Final

from inspectd import log
from inspectd.gateways import metrics
from inspectd.gateways.handshake import Handshake, Order
from inspectd.gateways.line_link import LineLink
from inspectd.gateways.modbus.server import ModbusServer
from inspectd.gateways.modbus.settings import ModbusConfig
from inspectd.gateways.settings import HandshakeSettings
from inspectd.metrics_server import MetricsServer
from inspectd.notify import Notifier

_TICK_SECONDS: Final = 0.05
_KEEP_ALIVE_SECONDS: Final = 1.0
"""Far more often than the unit's WatchdogSec asks for it."""

_log: Final = logging.getLogger(__name__)


class PlantRegisters:
    """A hand-shake's registers with a clock; what the plant wants of the line goes to `on_order`."""

    def __init__(
        self, handshake: Handshake, on_order: Callable[[Order], None], clock: Callable[[], float]
    ) -> None:
        """Serve this hand-shake."""
        self._handshake, self._on_order, self._clock = handshake, on_order, clock

    def read(self, first: int, count: int) -> Sequence[int]:
        """See `Handshake.read`.

        Raises:
            RegisterError: there are no such words.
        """
        return self._handshake.read(first, count, self._clock())

    def write(self, first: int, words: Sequence[int]) -> None:
        """See `Handshake.write`.

        Raises:
            RegisterError: they are not in the control block.
        """
        for order in self._handshake.write(first, words, self._clock()):
            self._on_order(order)


def handshake_of(settings: HandshakeSettings) -> Handshake:
    """A hand-shake by settings, with a random first number."""
    return Handshake(
        plant_seconds=settings.plc_timeout_ms / 1000 if settings.plc_heartbeat else None,
        pass_hold_seconds=settings.pass_hold_ms / 1000,
        recipes=settings.recipe_names,
        first_acquisition=secrets.randbelow(2**32),
    )


def run(settings: ModbusConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: an endpoint, a key or a certificate cannot be used.
        UnavailableError: a port is taken or takes more rights.
    """
    asyncio.run(_Gateway(settings).run())


class _Gateway:
    def __init__(self, settings: ModbusConfig) -> None:
        self._settings = settings
        self._clock = time.monotonic
        self._notifier = Notifier.from_environment()
        self._handshake = handshake_of(settings.handshake)
        self._link = LineLink(settings.line, settings.handshake, self._handshake, self._clock)
        bank = PlantRegisters(self._handshake, self._link.take, self._clock)
        self._server = ModbusServer(bank, settings.modbus, self._clock)
        self._failure: BaseException | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        work = asyncio.ensure_future(self._work())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)

        def failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            """A fault in a callback ends the program, as anywhere else."""
            self._failure = context.get("exception") or RuntimeError(context["message"])
            work.cancel()

        loop.set_exception_handler(failed)
        try:
            await work
        except asyncio.CancelledError:
            if self._failure is not None:
                raise self._failure from None
        except BaseExceptionGroup as group:  # what one task raised ends them all
            raise _first(group) from group
        finally:
            self._notifier.stopping()
            await self._server.close()
            log.event(_log, logging.INFO, "stopped")

    async def _work(self) -> None:
        with ExitStack() as open_now:
            await self._server.start()
            if self._settings.metrics.port:
                collected = metrics.registry(self._handshake, self._link, self._server)
                open_now.callback(MetricsServer(collected, self._settings.metrics).close)
            log.event(
                _log, logging.INFO, "listening", host=self._settings.modbus.host, port=self._server.port,
                plc=self._settings.modbus.plc, line=self._settings.line.verdicts,
            )  # fmt: skip
            self._notifier.ready()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._link.run())
                tasks.create_task(self._keep_time())

    async def _keep_time(self) -> None:
        reason, said_at = None, self._clock()
        while True:
            now = self._clock()
            self._handshake.tick(now)
            self._server.sweep()
            if now - said_at >= _KEEP_ALIVE_SECONDS:
                self._notifier.watchdog()
                said_at = now
            if self._handshake.offline_reason is not reason:
                reason = self._handshake.offline_reason
                name = reason.name.lower()
                log.event(_log, logging.INFO, "offline" if reason else "online", reason=name)
                self._notifier.status(f"offline: {name}" if reason else "online")
            await asyncio.sleep(_TICK_SECONDS)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
