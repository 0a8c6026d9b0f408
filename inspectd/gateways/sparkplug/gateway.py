"""The gateway's program: one session with a broker after another, for as long as it runs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import nullcontext, suppress
from itertools import cycle
from typing import Final

from inspectd import log
from inspectd.client import AsyncVerdictReader
from inspectd.gateways.sparkplug.broker import BrokerDoor, BrokerError
from inspectd.gateways.sparkplug.death_number import DeathNumber
from inspectd.gateways.sparkplug.metrics import ConnectResult, SparkplugMetrics
from inspectd.gateways.sparkplug.picture import LinePicture
from inspectd.gateways.sparkplug.session import EdgeNames, EdgeSession
from inspectd.gateways.sparkplug.settings import SparkplugConfig
from inspectd.gateways.sparkplug.telling import Telling
from inspectd.gateways.trying_again import trying_again

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 86_400.0
"""A line that does not answer is waited for: what it has must not be passed over."""

_log: Final = logging.getLogger(__name__)


class SparkplugGateway:
    """Tells the broker's host applications of one line until it is stopped.

    Args:
        settings: the gateway's.
        names: of the node.
        metrics: where what happens is counted.

    Raises:
        InputError: a certificate, key, password or state file cannot be used.
        UnavailableError: the settings and the system name no directory for its state.
    """

    def __init__(self, settings: SparkplugConfig, names: EdgeNames, metrics: SparkplugMetrics) -> None:
        state = settings.sparkplug.state_path
        self._settings, self._names, self._metrics = settings, names, metrics
        self._door = BrokerDoor(
            settings.broker, settings.broker.client_id or f"inspectd-{names.group}-{names.node}"
        )
        self._death_number = DeathNumber(state / "bdseq")
        self._cursor = state / "cursor"
        self._picture = LinePicture()
        self._stopping = asyncio.Event()
        self._was_read = False

    def stop(self) -> None:
        """Have `run` end: with a death, so that hosts know at once."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`.

        Raises:
            InputError: the line's endpoint or a key cannot be used at the start; or the cursor file.
            UnavailableError: the state cannot be written.
        """
        pause = _FIRST_PAUSE_SECONDS
        for address in cycle(self._settings.broker.addresses):
            was_born = await self._one_session(address)
            pause = _FIRST_PAUSE_SECONDS if was_born else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if await self._stopped_within(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - not a secret
                return

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def _make_reader(self) -> AsyncVerdictReader:
        """A reader of the line from the cursor on.

        Raises:
            InputError: the line's endpoint or a key cannot be used at the start; or the cursor file.
            UnavailableError: they cannot any more, at least at this moment.
        """
        line = self._settings.line
        with trying_again(line.verdicts) if self._was_read else nullcontext():
            reader = AsyncVerdictReader(
                line.verdicts, line.sync or None, line=line.own_names, cursor=self._cursor, keys=line.keys,
                patience_seconds=_PATIENCE_SECONDS,
            )  # fmt: skip
        self._was_read = True
        return reader

    async def _one_session(self, address: tuple[str, int]) -> bool:
        """From CONNECT to the end; whether its births went out."""
        where = f"{address[0]}:{address[1]}"
        session = EdgeSession(
            self._names,
            self._death_number.take(),
            self._picture,
            clock=time.monotonic,
            utc_ms=lambda: time.time_ns() // 1_000_000,
            report_seconds=self._settings.sparkplug.report_seconds,
            with_datatypes=self._settings.sparkplug.data_types,
        )
        telling = Telling(
            self._settings,
            session,
            self._picture,
            self._metrics,
            stopping=self._stopping,
            cursor=self._cursor,
            make_reader=self._make_reader,
            clock=time.monotonic,
        )
        is_connected = False
        try:
            async with self._door.connect(address, session.death) as broker:
                is_connected = True
                self._death_number.used()
                self._metrics.connect(ConnectResult.CONNECTED)
                log.event(_log, logging.INFO, "broker_connected", broker=where)
                try:
                    await telling.run(broker)
                except BaseException:  # a session that is cancelled says its end too
                    with suppress(BrokerError):  # what came first is the cause, and is raised
                        await broker.send(*session.end())
                    raise
                # DISCONNECT follows, after which the broker would tell nobody.
                await broker.send(*session.end())
        except BrokerError as error:
            if not is_connected:
                if not error.is_unreachable:
                    self._death_number.used()
                self._metrics.connect(
                    ConnectResult.UNREACHABLE if error.is_unreachable else ConnectResult.REFUSED
                )
            log.event(_log, logging.WARNING, "broker_lost", broker=where, detail=str(error))
        finally:
            self._metrics.state(is_born=False, is_alive=self._picture.is_alive, held=0)
        return telling.was_born
