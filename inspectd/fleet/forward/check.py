"""`inspectd forward --check`: says in words whether verdicts can be forwarded, and are safe there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from inspectd.errors import InputError, UnavailableError
from inspectd.fleet import streams
from inspectd.fleet.forward.line_side import distance
from inspectd.fleet.forward.other_writer import host_of
from inspectd.fleet.forward.session import refuse_unsafe, states_of
from inspectd.fleet.safety import UnsafeServersError
from inspectd.fleet.servers import NotThereError, Servers, ServersDoor, ServersError
from inspectd.fleet.settings import ForwardConfig
from inspectd.fleet.streams import StreamEnd
from inspectd.wire.sync import Position

_HOUR: Final = 3600.0


class ForwardCheck:
    """Asks servers and line, and says what each answers.

    Args:
        settings: the forwarder's.
        say: takes one line for people.

    Raises:
        InputError: the key file or the authority's certificate cannot be used.
    """

    def __init__(self, settings: ForwardConfig, say: Callable[[str], None]) -> None:
        self.problems = 0
        """What keeps verdicts from being forwarded safely."""
        self._settings, self._say = settings, say
        self._names = settings.line.names
        self._door = ServersDoor(settings.servers, self._names.inbox, "inspectd-forward check")

    async def run(self) -> None:
        """Ask everything; `problems` is what was found."""
        kind = "NKEY" if self._door.key.seed else "JWT"
        self._say(f"user: {self._door.key.public}, by {kind}")
        end = await self._servers()
        await self._line(end)

    def _bad(self, text: str) -> None:
        self.problems += 1
        self._say(f"PROBLEM: {text}")

    async def _servers(self) -> Position | None:
        states = await states_of(self._settings, self._door)
        for state in states:
            name = state.name or "server"
            version = f"nats-server {state.version}, " if state.version else ""
            text = f"{name} at {state.monitor}: {version}{state.detail}"
            if state.always_flushes:
                self._say(text)
            else:
                self._bad(text)
        try:
            async with self._door.connect() as servers:
                self._say(f"connected to {servers.where} over TLS 1.3, its certificate is right")
                info = await servers.asked(servers.js.stream_info(self._names.stream))
                for problem in streams.problems(info, self._names):
                    self._bad(f"the stream {self._names.stream} {problem}")
                self._say(
                    f"stream {self._names.stream} on {', '.join(streams.replicas(info)) or 'no server'}"
                )
                for text in streams.replicas_behind(info):
                    self._bad(f"of the stream's servers {text}")
                refuse_unsafe(states, info)
                end = await streams.end_of(servers, self._names)
                self._say_end(end)
                await self._extras(servers)
                return end.position
        except NotThereError:
            self._bad(
                f"there is no stream {self._names.stream}: the administrator makes it by "
                "`inspectd forward make-streams`"
            )
        except UnsafeServersError as error:
            self._bad(f"nothing would be forwarded: {error}")
        except (ServersError, streams.WrongStreamError) as error:
            self._bad(str(error))
        return None

    def _say_end(self, end: StreamEnd) -> None:
        where = f"after {end.position}" if end.position else "with the oldest verdict that the line keeps"
        self._say(f"the stream has {end.last_sequence} messages so far; forwarding goes on {where}")
        if end.writer is not None:
            self._say(f"the forwarder on {host_of(end.writer)} wrote the stream's last verdict")
        if end.foreign:
            self._bad(
                f"the stream ends with {end.foreign} messages that no forwarder sent: "
                "find out whose key wrote them"
            )

    async def _extras(self, servers: Servers) -> None:
        wanted = self._settings.forward
        if not (wanted.heatmaps or wanted.thumbnails):
            self._say("heatmaps and thumbnails are not forwarded")
            return
        try:
            await servers.asked(servers.js.stream_info(self._names.extras_stream))
        except ServersError as error:
            self._bad(f"heatmaps and thumbnails: the stream {self._names.extras_stream}: {error}")
        else:
            self._say(f"heatmaps and thumbnails go to {self._names.extras_stream}, as far as it goes")

    async def _line(self, end: Position | None) -> None:
        line = self._settings.line
        try:
            found = await distance(line, end)
        except (InputError, UnavailableError) as error:
            self._bad(f"the line: {error}")
            return
        self._say(
            f"the line keeps verdicts of {found.kept_seconds / _HOUR:.1f} h, {found.oldest} to "
            f"{found.newest}; the oldest that no server has is {found.backlog_seconds / _HOUR:.1f} h old"
        )
        if (
            end is not None
            and found.oldest is not None
            and end < Position(found.oldest.epoch, found.oldest.seq - 1)
        ):
            self._bad(
                f"verdicts after {end} and before {found.oldest} are lost: "
                "the line does not keep them any more"
            )
