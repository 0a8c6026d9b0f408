"""`inspectd gateway sparkplug`: from its file to its end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry

from inspectd import log
from inspectd.gateways.sparkplug.broker import BrokerDoor
from inspectd.gateways.sparkplug.gateway import SparkplugGateway
from inspectd.gateways.sparkplug.metrics import SparkplugMetrics
from inspectd.gateways.sparkplug.session import EdgeNames
from inspectd.gateways.sparkplug.settings import SparkplugConfig
from inspectd.metrics_server import metrics_served
from inspectd.notify import Notifier

_KEEP_ALIVE_SECONDS: Final = 2.0

_log: Final = logging.getLogger(__name__)


def run(config: SparkplugConfig) -> None:
    """Work until SIGTERM or SIGINT.

    Raises:
        InputError: an endpoint, a certificate, key, password or state file cannot be used.
        UnavailableError: its state cannot be written, or the port of its metrics is taken.
    """
    names = EdgeNames(config.sparkplug.group, config.sparkplug.node, config.sparkplug.primary_host)
    registry = CollectorRegistry()
    metrics = SparkplugMetrics(registry)
    with metrics_served(registry, config.metrics):
        asyncio.run(_run(config, names, metrics))


def openers(config: SparkplugConfig) -> list[Callable[[], object]]:
    """Each opens files that the gateway opens when it starts; raises `InputError` where they are no good."""
    return [partial(BrokerDoor, config.broker, "check")]


async def _run(config: SparkplugConfig, names: EdgeNames, metrics: SparkplugMetrics) -> None:
    gateway = SparkplugGateway(config, names, metrics)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, gateway.stop)
    # A callback of the MQTT library may find its socket closed: the session has ended by that already.
    loop.set_exception_handler(log.left_behind)
    notifier = Notifier.from_environment()
    keeping_alive = asyncio.create_task(_keep_alive(notifier))
    notifier.ready()
    try:
        await gateway.run()
    finally:
        notifier.stopping()
        keeping_alive.cancel()
        log.event(_log, logging.INFO, "stopped")


async def _keep_alive(notifier: Notifier) -> None:
    """Show the service manager that the loop goes round."""
    while True:
        notifier.watchdog()
        await asyncio.sleep(_KEEP_ALIVE_SECONDS)
