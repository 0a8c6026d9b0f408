"""The OPC UA gateway as a program: the server, the vision system and the line's side in one event loop."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from asyncua import ua

from inspectd import __version__, log
from inspectd.client import Event
from inspectd.client.clock import clock_seconds
from inspectd.config.program_files import endpoint
from inspectd.errors import UnavailableError
from inspectd.gateways import metrics
from inspectd.gateways.opcua.access import CallerRules, PlantUsers
from inspectd.gateways.opcua.audit import PlantAudit
from inspectd.gateways.opcua.certificates import CertificateFolder, application_uri
from inspectd.gateways.opcua.guarded import GuardedServer
from inspectd.gateways.opcua.halted import HaltMark
from inspectd.gateways.opcua.handlers import VisionHandlers
from inspectd.gateways.opcua.journal import RecordedResults
from inspectd.gateways.opcua.line_side import LineSide
from inspectd.gateways.opcua.methods import MethodDesk
from inspectd.gateways.opcua.metrics import OpcUaCollector
from inspectd.gateways.opcua.nodes import PlantNodes
from inspectd.gateways.opcua.result_handlers import ResultHandlers
from inspectd.gateways.opcua.settings import OpcUaConfig
from inspectd.gateways.opcua.structures import PlantTypes
from inspectd.gateways.opcua.vision import MachineState, VisionSystem
from inspectd.gateways.program import until_signalled
from inspectd.metrics_server import metrics_served
from inspectd.notify import Notifier
from inspectd.settled import building_to_stay
from inspectd.text import cannot_listen

_TRUST_SECONDS: Final = 1.0
_NO_DATE: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log: Final = logging.getLogger(__name__)


def run(settings: OpcUaConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: an endpoint, a key, a certificate, the users' file or the mark of Halt cannot be used; or
            another line.
        UnavailableError: a port is taken or takes more rights.
    """
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)  # `guarded` and `audit` say what matters
    asyncio.run(_Gateway(settings).run())


def openers(settings: OpcUaConfig) -> list[Callable[[], object]]:
    """Each opens files that the gateway opens when it starts; raises `InputError` where they are no good."""
    plant = settings.opcua
    return [
        CertificateFolder(Path(plant.certificates)).own,
        partial(PlantUsers, Path(plant.users_file), plant.users or {}),
        _halt_mark(settings, PlantAudit()).is_set,
    ]


def _halt_mark(settings: OpcUaConfig, audit: PlantAudit) -> HaltMark:
    return HaltMark(Path(settings.opcua.certificates) / "halted", audit)


class _Gateway:
    def __init__(self, settings: OpcUaConfig) -> None:
        plant = settings.opcua
        self._settings, self._clock = settings, clock_seconds
        self._notifier = Notifier.from_environment()
        self._audit = PlantAudit()
        self._certificates = CertificateFolder(Path(plant.certificates))
        self._certificate = self._certificates.own()
        self._users = PlantUsers(Path(plant.users_file), plant.users or {})
        self._server = GuardedServer(
            self._users, self._certificates, self._audit, max_connections=plant.max_connections,
            max_subscriptions=plant.max_subscriptions,
        )  # fmt: skip
        self._halt_mark = _halt_mark(settings, self._audit)
        self._vision = VisionSystem(
            secrets.randbits(63), is_continuous=plant.continuous, is_halted=self._halt_mark.is_set()
        )
        self._line = LineSide(
            settings.line, plant.answer_ms / 1000, self._vision, self._clock,
            on_event=self._heard, on_end=self._line_ended, on_turn=self._tell,
        )  # fmt: skip
        self._nodes = PlantNodes(self._server, settings.line.name)
        self._events: list[Event] = []
        self._not_loaded: list[str] = []
        self._told_error = False
        self._telling = asyncio.Lock()
        self._types: PlantTypes | None = None

    async def run(self) -> None:
        try:
            await until_signalled(self._work())
        finally:
            self._notifier.stopping()
            await self._server.stop()
            log.event(_log, logging.INFO, "stopped")

    async def _work(self) -> None:
        plant = self._settings.opcua
        with building_to_stay():  # half a million objects
            await self._prepare()
        try:
            await self._server.start()
        except OSError as error:
            where = "opcua.host, opcua.port"
            raise UnavailableError(cannot_listen(where, plant.host, plant.port, error)) from error
        collector = OpcUaCollector(self._vision, self._line, self._server, self._audit)
        with metrics_served(metrics.registry(collector), self._settings.metrics):
            log.event(
                _log, logging.INFO, "listening", host=plant.host, port=plant.port,
                line=self._settings.line.verdicts,
            )  # fmt: skip
            self._notifier.ready()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._server.iserver.arrivals.run())
                tasks.create_task(self._line.run())
                tasks.create_task(self._look_after())

    async def _prepare(self) -> None:
        server, plant = self._server, self._settings.opcua
        server.name, server.manufacturer_name, server.product_uri = "inspectd", "inspectd", "urn:inspectd"
        server.application_type = ua.ApplicationType.Server
        await server.init()
        await server.set_application_uri(application_uri(self._certificate))
        await server.set_build_info("urn:inspectd", "inspectd", "inspectd", __version__, "", _NO_DATE)
        server.set_endpoint(f"opc.tcp://{plant.host}:{plant.port}/inspectd")
        server.set_security_policy(
            [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt], permission_ruleset=CallerRules()
        )
        server.set_identity_tokens([ua.UserNameIdentityToken])
        await server.load_certificate(self._certificates.certificate)
        await server.load_private_key(self._certificates.key)
        self._types = await self._nodes.build()
        line = self._settings.line
        recorded = RecordedResults(endpoint(line, "sync"), line.keys, self._vision.as_told)
        self._handlers = VisionHandlers(self._vision, self._line, self._types, self._halt_mark, self._tell)
        self._results = ResultHandlers(self._line, recorded, self._types)
        desk = MethodDesk(server, self._nodes, self._users, self._audit)
        for method in (*self._handlers.methods(), *self._results.methods()):
            desk.link(method)

    def _heard(self, event: Event) -> None:
        self._events.append(event)

    def _line_ended(self) -> None:
        self._not_loaded += self._handlers.line_ended()

    async def _tell(self) -> None:
        """Bring nodes and clients up to date."""
        assert self._types is not None, "told before it was built"
        async with self._telling:
            was = self._vision.machine
            for result in self._vision.update(self._clock(), time.time_ns()):
                self._results.latest = result
                await self._nodes.tell_result(self._types, result)
            events, self._events = self._events, []
            for event in events:
                loaded = self._handlers.loaded(event)
                if loaded is not None and loaded[1]:
                    await self._nodes.tell_recipe(self._types, loaded[0])
                elif loaded is not None:
                    await self._nodes.tell_recipe_failed(event.detail)
            for name, is_loaded in self._handlers.settled():
                if is_loaded:
                    await self._nodes.tell_recipe(self._types, name)
                else:
                    await self._nodes.tell_recipe_failed(
                        f"{name}: could not be loaded; the line's log says why"
                    )
            not_loaded, self._not_loaded = self._not_loaded, []
            for name in not_loaded:
                await self._nodes.tell_recipe_failed(
                    f"{name}: the line ended or started anew while it loaded"
                )
            machine = self._vision.machine
            await self._nodes.show_states(machine, self._vision.automatic)
            await self._nodes.show_health(
                self._vision.heartbeat, self._line.status, cause=self._vision.cause,
                open_jobs=self._vision.open_jobs, lost=self._line.lost,
            )  # fmt: skip
            if machine is not was:
                await self._tell_state(machine)
            self._notifier.watchdog()

    async def _tell_state(self, machine: MachineState) -> None:
        cause = self._vision.cause
        log.event(_log, logging.INFO, "state", state=machine, cause=cause)
        self._notifier.status(f"{machine}: {cause}" if cause else str(machine))
        if (machine is MachineState.ERROR) is not self._told_error:
            self._told_error = machine is MachineState.ERROR
            await self._nodes.tell_state(is_error=self._told_error, cause=cause)

    async def _look_after(self) -> None:
        while True:
            self._server.end_untrusted()
            await asyncio.sleep(_TRUST_SECONDS)
