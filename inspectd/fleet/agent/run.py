"""`inspectd fleet`: a line's agent, for as long as it runs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry

from inspectd import __version__, log
from inspectd.errors import UnavailableError
from inspectd.fleet.agent import report as reports
from inspectd.fleet.agent.line_side import LineDesk, LineEar
from inspectd.fleet.agent.metrics import AgentMetrics
from inspectd.fleet.agent.report import AgentState, FleetReport
from inspectd.fleet.agent.settings import AgentConfig
from inspectd.fleet.agent.state import NewestTold, StateFolder, Told
from inspectd.fleet.agent.work import OrderBook, OrderWork, Outlook
from inspectd.fleet.names import PlantNames
from inspectd.fleet.program import keep_alive, until_signalled
from inspectd.fleet.servers import NotThereError, Servers, ServersDoor, ServersError
from inspectd.fleet.together import together
from inspectd.metrics_server import metrics_served
from inspectd.notify import Notifier
from inspectd.wire.sync import LineStatus

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 300.0
_CONNECT_AGAIN_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 2.0
"""How often the line is looked at while there is nothing to do."""
_STORED_SECONDS: Final = 0.5
"""After a hint: until the servers have what they told of."""
_BETWEEN_REPORTS_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


def run(config: AgentConfig) -> None:
    """Work until SIGTERM or SIGINT.

    Raises:
        InputError: an endpoint, a key, a certificate or what was kept cannot be used.
        UnavailableError: the port of its metrics is taken, or its folder cannot be written.
    """
    registry = CollectorRegistry()
    metrics = AgentMetrics(registry)
    notifier = Notifier.from_environment()
    agent = FleetAgent(config, metrics, time.time_ns, time.monotonic)
    with metrics_served(registry, config.metrics):
        try:
            asyncio.run(until_signalled(agent.work(notifier)))
        finally:
            notifier.stopping()
            log.event(_log, logging.INFO, "stopped")
            agent.close()


class FleetAgent:
    """A line's agent: asks for orders, has them carried out, and reports.

    Args:
        settings: the agent's.
        metrics: where what happens is counted.
        clock_ns: ns since 1970.
        clock: seconds on a clock that never goes back.

    Raises:
        InputError: an endpoint, a key, a certificate or what was kept cannot be used.
        UnavailableError: its folder cannot be made.
    """

    def __init__(
        self,
        settings: AgentConfig,
        metrics: AgentMetrics,
        clock_ns: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._metrics, self._clock_ns, self._clock = settings, metrics, clock_ns, clock
        self._names, self._plant = settings.line.names, PlantNames(settings.line.plant)
        self._door = ServersDoor(
            settings.servers, self._names.agent_inbox,
            f"inspectd-fleet {self._names.plant}/{self._names.line}", lambda _: metrics.denied(),
        )  # fmt: skip
        folder = StateFolder(settings.fleet.state_dir)
        folder.make()
        self._changed, self._hint, self._new_order = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._outlook = Outlook(metrics, self._changed.set)
        self._book = OrderBook(settings, folder, metrics, clock_ns)
        self._ear = LineEar(settings.line, clock)
        self._work = OrderWork(
            settings, book=self._book, folder=folder,
            desk=LineDesk(settings.line, self._ear, settings.fleet.load_seconds),
            metrics=metrics, outlook=self._outlook, clock_ns=clock_ns,
        )  # fmt: skip
        self._newest = NewestTold()

    def close(self) -> None:
        """Disconnect from the line."""
        self._ear.close()

    async def work(self, notifier: Notifier) -> None:
        """Work without end.

        Raises:
            InputError: an endpoint or a key cannot be used.
        """
        self._ear.start()
        notifier.ready()
        await together(self._connect(), self._carry_out(), keep_alive(notifier))

    async def _carry_out(self) -> None:
        """Attempt what is ordered, again and again; a new order ends the attempt for the one before."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self._new_order.clear()
            attempt, new = asyncio.create_task(self._work.once()), asyncio.create_task(self._new_order.wait())
            try:
                await asyncio.wait((attempt, new), return_when=asyncio.FIRST_COMPLETED)
                if attempt.done():
                    is_quiet = attempt.result()
                    pause = _FIRST_PAUSE_SECONDS if is_quiet else min(2 * pause, _LONGEST_PAUSE_SECONDS)
                    wait = _LOOK_SECONDS if is_quiet else pause * random.uniform(0.5, 1)  # noqa: S311
                    await asyncio.wait((new,), timeout=wait)
            finally:
                attempt.cancel()
                new.cancel()
                await asyncio.wait((attempt, new))
            if self._new_order.is_set():
                pause = _FIRST_PAUSE_SECONDS

    async def _connect(self) -> None:
        """One connection to the servers after another."""
        while True:
            try:
                async with self._door.connect() as servers:
                    self._metrics.connected(is_connected=True)
                    self._work.servers = servers
                    await servers.hear(self._plant.desired(self._names.line), self._hint.set)
                    await together(self._ask(servers), self._report(servers), servers.until_lost())
            except (ServersError, UnavailableError) as error:
                log.event(_log, logging.WARNING, "session_ended", detail=str(error))
            finally:
                self._work.servers = None
                self._metrics.connected(is_connected=False)
            await asyncio.sleep(_CONNECT_AGAIN_SECONDS * random.uniform(0.5, 1))  # noqa: S311

    async def _ask(self, servers: Servers) -> None:
        """Ask what this line should run, at every hint and every so often."""
        subject = self._plant.desired(self._names.line)
        while True:
            self._hint.clear()
            try:
                found = await servers.asked(
                    servers.js.get_last_msg(self._plant.desired_stream, subject, direct=True)
                )
            except NotThereError:
                pass  # nothing was said to this line yet
            else:
                told = Told(found.seq or 0, round(found.time.timestamp() * 1e9) if found.time else 0)
                if self._newest.take(told) and self._book.take(found.data or b"", told):
                    # At once: what runs by the order before must not be taken for what this one wants.
                    self._outlook.now(AgentState.WAITING, f"order {self._book.kept.serial} was accepted")
                    self._new_order.set()
                if self._book.not_kept:
                    self._outlook.now(AgentState.WAITING, self._book.not_kept)
                if self._book.refusal:
                    self._changed.set()
            hinted = asyncio.create_task(self._hint.wait())
            try:
                done, _ = await asyncio.wait((hinted,), timeout=self._settings.fleet.poll_seconds)
            finally:
                hinted.cancel()
            if done:
                await asyncio.sleep(_STORED_SECONDS)

    async def _report(self, servers: Servers) -> None:
        """Say what the line runs, at every change and every so often."""
        while True:
            self._changed.clear()
            body = reports.encode(self._now())
            await servers.asked(servers.js.publish(self._names.report, body))
            self._metrics.reported()
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.sleep(_BETWEEN_REPORTS_SECONDS)
                await asyncio.wait((changed,), timeout=self._settings.fleet.report_seconds)
            finally:
                changed.cancel()

    def _now(self) -> FleetReport:
        book, status = self._book, self._outlook.status
        recipe, version = _in_force(status)
        utc_ns, tally = self._clock_ns(), None
        if recipe is not None and version is not None:
            tally = self._ear.count(recipe, version)
        wanted = book.order.recipe if book.order is not None else None
        drifts = [share for camera in status.cameras for share in camera.drift.values()] if status else []
        judged_by = {camera.recipe for camera in status.cameras} if status else set()
        return FleetReport(
            plant=self._names.plant,
            line=self._names.line,
            at_utc_ns=utc_ns,
            software=__version__,
            state=self._outlook.state,
            why=reports.cut(self._outlook.why),
            recipe=recipe,
            version=version,
            bank_sha256={
                each.recipe: each.bank_sha256
                for each in (status.recipes if status else [])
                if each.recipe in judged_by
            },
            wanted_serial=book.kept.serial,
            wanted_recipe=wanted.id if wanted is not None else None,
            wanted_recipe_sha256=wanted.content_sha256 if wanted is not None else None,
            offered_sha256=book.newest_sha256,
            refusal=reports.cut(book.refusal) or None,
            progress=self._outlook.progress,
            # So long before now, whatever happened to the host's clock since: rollouts go by the difference.
            counted_since_utc_ns=(
                None if tally is None else max(0, utc_ns - round((self._clock() - tally.began) * 1e9))
            ),
            verdicts=tally.counts if tally is not None else {},
            reject_share=tally.reject_share if tally is not None else None,
            drift=max(drifts, default=None),
            verdicts_by_place=tally.by_place if tally is not None else {},
        )


def _in_force(status: LineStatus | None) -> tuple[str | None, int | None]:
    """The recipe that judges, and its version in the line's store."""
    if status is None:
        return None, None
    recipe, _, version = status.in_force.partition("@")
    return recipe, int(version) if recipe != "file" and version.isascii() and version.isdigit() else None
