"""`inspectd fleet --check`: says in words whether orders can reach the line, and how it stands."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from inspectd.errors import InputError, UnavailableError
from inspectd.files import is_there
from inspectd.fleet.agent.line_side import LineDesk, LineEar
from inspectd.fleet.agent.metrics import AgentMetrics
from inspectd.fleet.agent.order import RefusedOrderError, decode_signed, refuse_old, refuse_other_line
from inspectd.fleet.agent.settings import AgentConfig
from inspectd.fleet.agent.signing import verified
from inspectd.fleet.agent.state import StateFolder
from inspectd.fleet.agent.store_side import LineStore
from inspectd.fleet.agent.work import OrderBook
from inspectd.fleet.names import PlantNames
from inspectd.fleet.servers import NotThereError, Servers, ServersDoor, ServersError

_NO_CHUNK: Final = "0" * 64


class AgentCheck:
    """Asks servers, line and store, and says what each answers; changes nothing.

    Args:
        settings: the agent's.
        say: takes one line for people.

    Raises:
        InputError: a key or a certificate cannot be used.
    """

    def __init__(self, settings: AgentConfig, say: Callable[[str], None]) -> None:
        self.problems = 0
        """What keeps orders from the line."""
        self._settings, self._say = settings, say
        self._names, self._plant = settings.line.names, PlantNames(settings.line.plant)
        self._door = ServersDoor(settings.servers, self._names.agent_inbox, "inspectd-fleet check")

    async def run(self) -> None:
        """Ask everything; `problems` is what was found."""
        people = ", ".join(sorted(self._settings.people))
        self._say(f"user: {self._door.key.public}; trusted, of whom two must sign: {people}")
        await self._servers(self._kept())
        await self._line()

    def _bad(self, text: str) -> None:
        self.problems += 1
        self._say(f"PROBLEM: {text}")

    def _kept(self) -> OrderBook | None:
        place = self._settings.fleet.state_dir or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        try:
            if not place or not is_there(Path(place)):
                where = place or "its folder, which systemd gives it alone"
                self._say(f"what it accepted last is not known here: {where}")
                return None
            folder = StateFolder(place)
            book = OrderBook(self._settings, folder, AgentMetrics(CollectorRegistry()), time.time_ns)
            free_mb = shutil.disk_usage(folder.path).free / 1e6
        except (InputError, UnavailableError, OSError) as error:
            self._bad(str(error))
            return None
        serial = book.kept.serial
        self._say(
            f"{folder.path}: {'no order was' if serial is None else f'order {serial} was'} accepted last"
        )
        if free_mb < self._settings.fleet.min_free_mb:
            least = self._settings.fleet.min_free_mb
            self._bad(f"{folder.path}: {free_mb:.0f} MB are free, and fleet.min_free_mb is {least:g}")
        return book

    async def _servers(self, book: OrderBook | None) -> None:
        try:
            async with self._door.connect() as servers:
                self._say(f"connected to {servers.where} over TLS 1.3, its certificate is right")
                await self._may_read_chunks(servers)
                await self._desired(servers, book)
        except ServersError as error:
            self._bad(f"the plant's servers: {error}")

    async def _may_read_chunks(self, servers: Servers) -> None:
        stream, subject = self._plant.banks_stream, self._plant.chunk(_NO_CHUNK, 0)
        try:
            await servers.asked(servers.js.get_last_msg(stream, subject, direct=True))
        except NotThereError:
            self._say(f"chunks of {stream} may be read")

    async def _desired(self, servers: Servers, book: OrderBook | None) -> None:
        stream, line = self._plant.desired_stream, self._settings.line
        try:
            found = await servers.asked(
                servers.js.get_last_msg(stream, self._plant.desired(line.name), direct=True)
            )
        except NotThereError:
            self._say("nothing is wanted of this line yet")
            return
        try:
            signed = decode_signed(found.data or b"")
            order, by = verified(signed, self._settings.people)
            refuse_other_line(order, plant=line.plant, line=line.name)
            kept = book.kept if book is not None else None
            if kept is None or kept.order is None or kept.order.text != signed.text:
                refuse_old(order, last_serial=kept.serial if kept else None, utc_ns=time.time_ns())
        except RefusedOrderError as error:
            self._bad(f"the newest order is refused: it {error}")
            return
        self._say(f"wanted: order {order.serial}, {order.recipe}, signed by {' and '.join(by)}: {order.why}")

    async def _line(self) -> None:
        ear = LineEar(self._settings.line, time.monotonic)
        try:
            status = await LineDesk(self._settings.line, ear, 1.0).status()
            self._say(f"the line runs {status.in_force}, and is {status.state}")
        except (InputError, UnavailableError) as error:
            self._bad(f"the line: {error}")
        finally:
            ear.close()
        try:
            count = await LineStore(Path(self._settings.fleet.line_file)).count()
            self._say(f"the line's recipe store can be read: {count} versions")
        except UnavailableError as error:
            self._bad(f"the line's recipe store: {error}")
