"""The S7 gateway as a program: the PLC, the hand-shake and the line's side in one event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from inspectd import log
from inspectd.client.clock import clock_seconds
from inspectd.gateways import metrics
from inspectd.gateways.line_link import LineLink
from inspectd.gateways.program import handshake_of, keep_time, until_signalled
from inspectd.gateways.s7.metrics import S7Collector
from inspectd.gateways.s7.plc import S7Link
from inspectd.gateways.s7.settings import S7Config
from inspectd.metrics_server import metrics_served
from inspectd.notify import Notifier

_log: Final = logging.getLogger(__name__)


def run(settings: S7Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: an endpoint, a key or a certificate cannot be used.
        UnavailableError: the port of its metrics is taken or takes more rights.
    """
    logging.getLogger("snap7").setLevel(logging.CRITICAL + 1)  # `s7.plc` says what matters
    asyncio.run(_run(settings))


async def _run(settings: S7Config) -> None:
    notifier = Notifier.from_environment()
    try:
        await until_signalled(_work(settings, notifier))
    finally:
        notifier.stopping()
        log.event(_log, logging.INFO, "stopped")


async def _work(settings: S7Config, notifier: Notifier) -> None:
    clock = clock_seconds
    handshake = handshake_of(settings.handshake)
    link = LineLink(settings.line, settings.handshake, handshake, clock)
    plc = S7Link(handshake, link.take, settings.s7, clock)
    with metrics_served(metrics.registry(S7Collector(handshake, link, plc)), settings.metrics):
        log.event(
            _log, logging.INFO, "started", plc=settings.s7.host, line=settings.line.verdicts,
            writer=plc.writers.own,
        )  # fmt: skip
        notifier.ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.run())
            tasks.create_task(plc.run())
            tasks.create_task(keep_time(handshake, notifier, clock, lambda: None))
