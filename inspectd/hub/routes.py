"""Routes of the hub's pages; each asks first who it is, and whether that person may."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import sqlalchemy as sa
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inspectd import __version__
from inspectd.hub import queries
from inspectd.hub.asking import HubQuestions
from inspectd.hub.filters import HubRequest, parse
from inspectd.hub.fleet_list import FleetList, Lack, names_known
from inspectd.hub.queries import HubRow
from inspectd.hub.reading_state import ReadingState, utc_ms
from inspectd.hub.schema import DAY_MS
from inspectd.hub.settings import HubConfig
from inspectd.hub.told import ToldHubPart, ToldHubRow, ToldHubRows
from inspectd.hub.trends import trends
from inspectd.page.accounts.roles import Act
from inspectd.page.answers import ApiError, csv_answer, json_answer
from inspectd.page.guard import Guard
from inspectd.page.history import csv_export
from inspectd.page.history.filters import FilterError, PagePlace, span
from inspectd.page.history.rows import every_field
from inspectd.page.history.turns import QuestionTurns
from inspectd.page.rows import row_of
from inspectd.page.told import ToldLineFacts, ToldShift
from inspectd.shifts import shifts_around_ms
from inspectd.wire import PartVerdict

COLUMNS: Final = ("line", *(name for name in csv_export.COLUMNS if name != "evidence"))
_EXPORT_ROWS: Final = 2000


class HubRoutes:
    """What browsers ask the hub.

    Args:
        settings: the hub's.
        guard: who is logged in.
        questions: what answers.
        state: of the reading.
    """

    def __init__(
        self, settings: HubConfig, guard: Guard, questions: HubQuestions, state: ReadingState
    ) -> None:
        self._settings, self._guard, self._questions, self._state = settings, guard, questions, state
        self._fleet = FleetList(state, settings.plant.silent_seconds, time.monotonic, utc_ms)
        self._in_turn = QuestionTurns(on_refused=self._count_refused, login_of=guard.token_of).in_turn
        self._export_turn = asyncio.Semaphore(1)

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/api/line", self.say_plant, methods=["GET"]),
            Route("/api/fleet", self._in_turn(self.list_lines), methods=["GET"]),
            Route("/api/names", self._in_turn(self.list_names), methods=["GET"]),
            Route("/api/verdicts", self._in_turn(self.list_rows), methods=["GET"]),
            Route("/api/verdicts.csv", self._in_turn(self.export), methods=["GET"]),
            Route("/api/trends", self._in_turn(self.show_trends), methods=["GET"]),
            Route(
                "/api/lines/{line}/verdicts/{epoch:number}/{seq:number}", self._in_turn(self.show_verdict),
                methods=["GET"],
            ),
        ]  # fmt: skip

    async def say_plant(self, request: Request) -> Response:
        """What does not change from second to second, as a line's page says it of its line."""
        await self._guard.allow(request, Act.VIEW)
        starts, zone = self._settings.view.shift_starts, self._settings.zone
        shifts: list[ToldShift] = [{"from_ms": at} for at in shifts_around_ms(utc_ms(), starts, zone)]
        told: ToldLineFacts = {
            "plant": self._settings.plant.name, "line": self._settings.plant.name,
            "zone": self._settings.view.zone, "now_ms": utc_ms(), "version": __version__,
            "cameras": [], "line_version": None, "recipes": [], "in_force": None, "in_force_number": None,
            "shifts": shifts, "takt_target_ms": None, "has_evidence": False, "has_teaching": False,
        }  # fmt: skip
        return json_answer(told)

    async def list_lines(self, request: Request) -> Response:
        """Every line, and how it is."""
        await self._guard.allow(request, Act.VIEW)
        return json_answer(await self._questions.ask(self._fleet.fleet))

    async def list_names(self, request: Request) -> Response:
        """What rows can be asked for by."""
        await self._guard.allow(request, Act.VIEW)
        days = self._settings.database.days
        return json_answer(await self._questions.ask(lambda connection: names_known(connection, days)))

    async def list_rows(self, request: Request) -> Response:
        """A page of rows, newest first."""
        await self._guard.allow(request, Act.VIEW)
        return json_answer(await self._page(_wanted(request)))

    async def export(self, request: Request) -> Response:
        """All rows that fit, as CSV."""
        account = await self._guard.allow(request, Act.EXPORT)
        wanted = msgspec.structs.replace(_wanted(request), limit=_EXPORT_ROWS, before=None)
        # Before the rows: what is read meanwhile is said to be missing, and nothing that is looks there.
        span = wanted.filter.from_ms, wanted.filter.to_ms
        async with self._export_turn:
            lacking = await self._questions.ask(
                lambda connection: self._fleet.lacking(connection, wanted.lines, *span)
            )
        first = await self._exported(wanted)
        await self._guard.record(account, Act.EXPORT, about=f"verdicts.csv?{request.url.query}"[:500])
        return csv_answer(self._csv(request, wanted, lacking, first))

    async def show_trends(self, request: Request) -> Response:
        """How lines went."""
        await self._guard.allow(request, Act.VIEW)
        lines, given = _lines_and(request, {"from_ms", "to_ms"})
        from_ms, to_ms = span(given, utc_ms(), DAY_MS)
        return json_answer(
            await self._questions.ask(lambda connection: trends(connection, from_ms, to_ms, lines))
        )

    async def show_verdict(self, request: Request) -> Response:
        """Everything about one verdict, and its part's views."""
        await self._guard.allow(request, Act.VIEW)
        line, epoch, seq = (request.path_params[name] for name in ("line", "epoch", "seq"))
        found = await self._questions.ask(functools.partial(_verdict, line, epoch, seq))
        if found is None:
            raise ApiError(404, "not_kept", "This verdict is not kept here, or not any more.")
        return json_answer(found)

    async def _page(self, wanted: HubRequest) -> ToldHubRows:
        found, after = await self._questions.ask(lambda connection: queries.page(connection, wanted))
        trouble = self._state.trouble
        return {
            "rows": [_told(row) for row in found],
            "next": None if after is None else str(after),
            "trouble": None if trouble is None else trouble.value,
            "trouble_since_ms": None if trouble is None else self._state.since_ms,
        }

    async def _exported(self, wanted: HubRequest) -> tuple[bytes, PagePlace | None]:
        """A page of rows as lines, and where the next begins; exports take turns."""
        async with self._export_turn:
            found, after = await self._questions.ask(lambda connection: queries.page(connection, wanted))
            return await to_thread.run_sync(_lines, found, self._settings), after

    async def _csv(
        self, request: Request, wanted: HubRequest, lacking: list[Lack],
        first: tuple[bytes, PagePlace | None],
    ) -> AsyncIterator[bytes]:  # fmt: skip
        lines, after = first
        yield csv_export.heading(COLUMNS)
        yield csv_export.gap_lines(lacking, self._settings.zone, COLUMNS)
        while True:
            yield lines
            if after is None:
                return
            try:  # who was logged out meanwhile, or may not any more, gets no more
                await self._guard.allow(request, Act.VIEW)
                lines, after = await self._exported(msgspec.structs.replace(wanted, before=after))
            except ApiError as error:  # the answer began long ago: only the file itself can say it
                yield csv_export.broken_line(error.sentence, COLUMNS)
                return

    def _count_refused(self) -> None:
        self._questions.refused["busy"] += 1


def _told(row: HubRow) -> ToldHubRow:
    return {**row_of(row.item, row.recipe or None), "line": row.line}


def _lines(found: list[HubRow], settings: HubConfig) -> bytes:
    return csv_export.lines([_told(row) for row in found], settings.zone, COLUMNS)


def _verdict(line: str, epoch: int, seq: int, connection: sa.Connection) -> ToldHubPart | None:
    found = queries.row_named(connection, line, epoch, seq)
    if found is None:
        return None
    item = found.item
    seqs = [view.seq for view in item.views] if isinstance(item, PartVerdict) else []
    views, is_all = queries.rows_named(connection, line, epoch, seqs)
    return {
        "row": _told(found), "all": every_field(item), "views": [_told(row) for row in views],
        "is_all": is_all,
    }  # fmt: skip


def _wanted(request: Request) -> HubRequest:
    return parse(request.query_params.multi_items())


def _lines_and(request: Request, names: set[str]) -> tuple[list[str], dict[str, str]]:
    """The lines that are asked for, and other parameters, each once."""
    lines: list[str] = []
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name == "line" and len(lines) < 200 and len(value) < 64:
            lines.append(value)
        elif name in names and name not in given and len(value) <= 256:
            given[name] = value
        else:
            raise FilterError(f"expected line, and {', '.join(sorted(names))} at most once each")
    return [line for line in lines if line], {name: value for name, value in given.items() if value}
