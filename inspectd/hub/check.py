"""`inspectd hub --check`: says in words whether lines can be read and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from inspectd.errors import InputError
from inspectd.files import is_there
from inspectd.fleet import streams
from inspectd.fleet.servers import Servers, ServersDoor, ServersError
from inspectd.hub import schema
from inspectd.hub.engine import SQLITE, DatabaseAwayError, as_database_error, engine_to_write, url_of
from inspectd.hub.reading import streams_of
from inspectd.hub.run import INBOX
from inspectd.hub.settings import HubConfig
from inspectd.hub.stream_progress import behind


class HubCheck:
    """Asks servers and database, and says what each answers.

    Args:
        settings: the hub's.
        say: takes one line for people.

    Raises:
        InputError: the key file, the authority's certificate or the database's address cannot be used.
    """

    def __init__(self, settings: HubConfig, say: Callable[[str], None]) -> None:
        self.problems = 0
        """What keeps verdicts from being read and kept."""
        self._settings, self._say = settings, say
        self._door = ServersDoor(settings.servers, INBOX, "inspectd-hub check")
        self._url = url_of(settings.database.url, settings.database.password_file)

    async def run(self) -> None:
        """Ask both; `problems` is what was found."""
        self._say(f"user: {self._door.key.public}")
        places = await asyncio.to_thread(self._database)
        try:
            async with self._door.connect() as servers:
                await self._lines(servers, places or {})
        except ServersError as error:
            self._bad(f"the plant's servers: {error}")
        if not self._settings.server.tls_certificate and not self._settings.proxy.origin:
            self._say("browsers: of this host alone; server.tls_certificate lets others in")

    def _bad(self, text: str) -> None:
        self.problems += 1
        self._say(f"PROBLEM: {text}")

    def _database(self) -> dict[str, int] | None:
        """The place of each line; None: the database cannot be used."""
        shown = self._url.render_as_string()
        engine = engine_to_write(self._url)
        try:
            if self._url.get_backend_name() == SQLITE and not is_there(Path(self._url.database or "")):
                # It would be made by whoever asks, and be closed to the hub's own user.
                self._say(f"database: {shown}, not there yet; the hub makes it and fills it")
                return {}
            with as_database_error(), engine.begin() as connection:
                if not sa.inspect(connection).has_table(schema.meta.name):
                    self._say(f"database: {shown}, empty; the hub makes its tables and fills it")
                    return {}
                schema.refuse_other(connection, self._settings.plant.name)
                rows = connection.execute(sa.select(schema.line.c.name, schema.line.c.last_sequence)).all()
                verdicts = connection.scalar(
                    sa.select(sa.func.sum(schema.tally.c.n)).where(schema.tally.c.step_ms == schema.DAY_MS)
                )
                self._say(f"database: {shown}, {verdicts or 0} verdicts counted of {len(rows)} lines")
                return {row.name: row.last_sequence for row in rows}
        except (DatabaseAwayError, InputError) as error:
            self._bad(f"database: {shown}: {error}")
            return None
        finally:
            engine.dispose()

    async def _lines(self, servers: Servers, places: dict[str, int]) -> None:
        plant = self._settings.plant.name
        self._say(f"servers: connected to {servers.where}, over TLS 1.3")
        found = await streams_of(servers, plant)
        if not found.verdicts:
            self._bad(
                f"servers: no stream V+{plant}+LINE is there; `inspectd forward make-streams` makes a "
                "line's, and plant.name has to be the lines'"
            )
        for names, info in sorted(found.verdicts.items(), key=lambda each: each[0].line):
            for problem in streams.problems(info, names):
                self._bad(f"{names.line}: its stream {problem}")
            waiting = behind(info, places.get(names.line, 0))
            reports = "reports what it runs" if names in found.reports else "does not report what it runs"
            self._say(
                f"{names.line}: {info.state.messages} messages in its stream, {waiting} not in the database "
                f"yet; {reports}"
            )
