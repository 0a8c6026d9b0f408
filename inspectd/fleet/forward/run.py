"""`inspectd forward`: one session with the plant's servers after another, for as long as it runs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from prometheus_client import CollectorRegistry

from inspectd import log
from inspectd.errors import UnavailableError
from inspectd.fleet.forward.comparison import Comparison
from inspectd.fleet.forward.extras import ExtrasQueue, ExtrasReader, send_extras
from inspectd.fleet.forward.metrics import ForwardMetrics, SessionEnd
from inspectd.fleet.forward.other_writer import OtherWriter, OtherWriterError, new_writer
from inspectd.fleet.forward.session import ForwardSession, LineSilentError, Progress, watch_distance
from inspectd.fleet.program import keep_alive, until_signalled
from inspectd.fleet.safety import UnsafeServersError
from inspectd.fleet.servers import DeniedError, ServersDoor, ServersError
from inspectd.fleet.settings import ForwardConfig
from inspectd.fleet.streams import WrongStreamError
from inspectd.fleet.together import together
from inspectd.metrics_server import metrics_served
from inspectd.notify import Notifier

_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 5.0
_DISTANCE_SECONDS: Final = 10.0

_log: Final = logging.getLogger(__name__)


def run(config: ForwardConfig) -> None:
    """Work until SIGTERM or SIGINT.

    Raises:
        InputError: an endpoint, a key or a certificate cannot be used, or the line is another one.
        UnavailableError: the port of its metrics is taken.
    """
    registry = CollectorRegistry()
    metrics = ForwardMetrics(registry)
    with metrics_served(registry, config.metrics):
        notifier = Notifier.from_environment()
        try:
            asyncio.run(until_signalled(_work(config, metrics, notifier)))
        finally:
            notifier.stopping()
            log.event(_log, logging.INFO, "stopped")


async def _work(config: ForwardConfig, metrics: ForwardMetrics, notifier: Notifier) -> None:
    names, wanted = config.line.names, config.forward
    door = ServersDoor(
        config.servers,
        names.inbox,
        f"inspectd-forward {names.plant}/{names.line}",
        lambda _: metrics.denied(),
    )
    progress = Progress()
    works: list[Coroutine[Any, Any, None]] = [
        Forwarder(config, door, metrics, progress, time.monotonic).run(),
        watch_distance(config, progress, metrics, _DISTANCE_SECONDS),
        keep_alive(notifier),
    ]
    extras = None
    if wanted.heatmaps or wanted.thumbnails:
        queue = ExtrasQueue(round(wanted.extras_mb * 1e6), metrics)
        extras = ExtrasReader(config, queue, metrics)
        works.append(send_extras(door, names.extras_stream, queue, metrics))
    notifier.ready()
    try:
        await together(*works)
    finally:
        if extras is not None:
            extras.close()


class Forwarder:
    """Makes sessions, one after another.

    Args:
        settings: the forwarder's.
        door: by which servers are connected to.
        metrics: where what happens is counted.
        progress: of the stream, over all sessions.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        settings: ForwardConfig,
        door: ServersDoor,
        metrics: ForwardMetrics,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._door, self._metrics = settings, door, metrics
        self._progress, self._clock = progress, clock
        self._comparison = Comparison(settings.line, settings.line.names)
        self._other = OtherWriter(new_writer(), clock)

    async def run(self) -> None:
        """Work without end.

        Raises:
            InputError: the line's endpoint or a key cannot be used, or it is another line.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            session = ForwardSession(
                self._settings,
                door=self._door,
                metrics=self._metrics,
                progress=self._progress,
                comparison=self._comparison,
                other=self._other,
                clock=self._clock,
            )
            await self._one(session)
            pause = _FIRST_PAUSE_SECONDS if session.acknowledged else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret

    async def _one(self, session: ForwardSession) -> None:
        """From a connection to its end."""
        try:
            async with self._door.connect() as servers:
                await session.run(servers)
        except (UnsafeServersError, WrongStreamError) as error:
            self._metrics.servers(is_unsafe=True)
            self._ended(SessionEnd.UNSAFE, logging.ERROR, error)
        except OtherWriterError as error:
            stream = self._settings.line.names.stream
            self._ended(SessionEnd.OTHER_WRITER, logging.ERROR, f"the stream {stream}: {error}")
        except DeniedError as error:
            self._ended(SessionEnd.DENIED, logging.ERROR, error)
        except ServersError as error:
            why = SessionEnd.UNREACHABLE if error.is_unreachable else SessionEnd.LOST
            self._ended(why, logging.WARNING, error)
        except (LineSilentError, UnavailableError) as error:
            self._ended(SessionEnd.LINE, logging.WARNING, error)

    def _ended(self, why: SessionEnd, level: int, error: Exception | str) -> None:
        self._metrics.session_ended(why)
        log.event(_log, level, "session_ended", why=why, detail=str(error))
