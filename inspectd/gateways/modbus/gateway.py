"""The Modbus TCP gateway as a program: the server, the hand-shake and the line's side in one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from inspectd import log
from inspectd.client.clock import clock_seconds
from inspectd.gateways import metrics
from inspectd.gateways.clock import ArrivalClock
from inspectd.gateways.handshake import Handshake, Order
from inspectd.gateways.line_link import LineLink
from inspectd.gateways.modbus.metrics import ModbusCollector
from inspectd.gateways.modbus.server import ModbusServer
from inspectd.gateways.modbus.settings import ModbusConfig
from inspectd.gateways.program import handshake_of, keep_time, until_signalled
from inspectd.metrics_server import metrics_served
from inspectd.notify import Notifier

_log: Final = logging.getLogger(__name__)


class PlantRegisters:
    """A hand-shake's registers with a clock; what the plant wants of the line goes to `on_order`."""

    def __init__(
        self,
        handshake: Handshake,
        on_order: Callable[[Order], None],
        clock: Callable[[], float],
        came: Callable[[], float],
    ) -> None:
        """Serve this hand-shake; `came` is the earliest that what is written just now can have come."""
        self._handshake, self._on_order, self._clock, self._came = handshake, on_order, clock, came

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
        for order in self._handshake.write(first, words, self._clock(), self._came()):
            self._on_order(order)

    def writer_lost(self) -> None:
        """See `Handshake.writer_lost`."""
        self._handshake.writer_lost()


def run(settings: ModbusConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: an endpoint, a key or a certificate cannot be used.
        UnavailableError: a port is taken or takes more rights.
    """
    asyncio.run(_run(settings))


async def _run(settings: ModbusConfig) -> None:
    clock, arrivals, notifier = clock_seconds, ArrivalClock(), Notifier.from_environment()
    handshake = handshake_of(settings.handshake)
    link = LineLink(settings.line, settings.handshake, handshake, clock)
    server = ModbusServer(PlantRegisters(handshake, link.take, clock, arrivals.came), settings.modbus, clock)

    async def work() -> None:
        await server.start()
        with metrics_served(metrics.registry(ModbusCollector(handshake, link, server)), settings.metrics):
            log.event(
                _log, logging.INFO, "listening", host=settings.modbus.host, port=server.port,
                plc=settings.modbus.plc, line=settings.line.verdicts,
            )  # fmt: skip
            notifier.ready()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(arrivals.run())
                tasks.create_task(link.run())
                tasks.create_task(keep_time(handshake, notifier, clock, server.sweep))

    try:
        await until_signalled(work())
    finally:
        notifier.stopping()
        await server.close()
        log.event(_log, logging.INFO, "stopped")
