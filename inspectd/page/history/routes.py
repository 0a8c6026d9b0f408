"""The history over HTTP: rows, one part with its pictures, trends, export."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inspectd.page.answers import ApiError, csv_answer, json_answer
from inspectd.page.history import csv_export, filters, queries
from inspectd.page.history.asking import HistoryQuestions
from inspectd.page.history.evidence import EvidenceTree
from inspectd.page.history.evidence_desk import EvidenceDesk
from inspectd.page.history.explaining import Explainer
from inspectd.page.history.filters import Filter, FilterError, PagePlace, RowRequest, milliseconds
from inspectd.page.history.part_page import PartPages
from inspectd.page.history.rows import Numbered, unpack
from inspectd.page.history.trends import events, trends
from inspectd.page.history.turns import QuestionTurns
from inspectd.page.history.watching import WatchedPlace, watch
from inspectd.page.rows import row_of
from inspectd.page.told_pages import ToldRowPage, ToldTrends

Allow = Callable[[Request, str], Awaitable[Any]]
"""Asks whether who sent a request may do an act; the account, or an `ApiError`."""
Record = Callable[[Any, str, str], Awaitable[None]]
"""Writes into the audit file that an account did an act, and to what."""

VIEW: Final = "view"
EXPORT: Final = "export"

_EXPORT_ROWS: Final = 1000
_MAX_EVENTS: Final = 500


def routes(
    questions: HistoryQuestions,
    allow: Allow,
    record: Record,
    zone: ZoneInfo,
    *,
    evidence_root: Path | None = None,
    line_file: Path | None = None,
    login_of: Callable[[Request], str] = lambda _: "",
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> list[Route]:
    """The routes of one line's history.

    Args:
        questions: what answers.
        allow: is asked before anything else, with `view`, `export` or `explain`.
        record: is told of each export and explanation.
        zone: the plant's, of times in exports.
        evidence_root: the line's evidence directory; None: it is not on this host.
        line_file: the line's settings, to explain parts; None: they are not on this host.
        login_of: names the login of who sent a request; each login has its turn.
        clock: milliseconds since 1970.
    """

    def count_refused() -> None:
        questions.refused["busy"] += 1

    in_turn = QuestionTurns(on_refused=count_refused, login_of=login_of).in_turn
    desk = EvidenceDesk(EvidenceTree(evidence_root))
    rows = _RowPages(questions=questions, allow=allow, record=record, zone=zone, desk=desk, clock=clock)
    parts = PartPages(
        questions=questions, allow=allow, record=record, desk=desk, explainer=Explainer(line_file),
        clock=clock,
    )  # fmt: skip
    named = "/api/parts/{epoch:number}/{seq:number}"
    return [
        Route("/api/verdicts", in_turn(rows.list_rows), methods=["GET"]),
        Route("/api/verdicts.csv", in_turn(rows.export), methods=["GET"]),
        Route("/api/names", in_turn(rows.list_names), methods=["GET"]),
        Route("/api/trends", in_turn(rows.show_trends), methods=["GET"]),
        Route("/api/events", in_turn(rows.list_events), methods=["GET"]),
        Route("/api/watch", in_turn(rows.show_watch), methods=["GET"]),
        Route(named, in_turn(parts.show), methods=["GET"]),
        Route(f"{named}/picture", in_turn(parts.give_picture), methods=["GET"]),
        Route(f"{named}/heatmap", in_turn(parts.give_heatmap), methods=["GET"]),
        Route(f"{named}/explain", parts.explain, methods=["POST"]),
    ]


class _RowPages:
    """Lists, exports, trends."""

    def __init__(
        self,
        *,
        questions: HistoryQuestions,
        allow: Allow,
        record: Record,
        zone: ZoneInfo,
        desk: EvidenceDesk,
        clock: Callable[[], int],
    ) -> None:
        self._questions, self._allow, self._record = questions, allow, record
        self._zone, self._desk, self._clock = zone, desk, clock
        self._export_turn = asyncio.Semaphore(1)

    async def list_rows(self, request: Request) -> Response:
        """A page of rows, newest first where the oldest are not asked for."""
        await self._allow(request, VIEW)
        return json_answer(await self._page(_wanted(request)))

    async def export(self, request: Request) -> Response:
        """All rows that fit, as CSV."""
        account = await self._allow(request, EXPORT)
        wanted = msgspec.structs.replace(_wanted(request), limit=_EXPORT_ROWS, before=None)
        first = await self._exported(wanted)
        await self._record(account, EXPORT, f"verdicts.csv?{request.url.query}"[:500])
        return csv_answer(self._csv(request, wanted, first))

    async def list_names(self, request: Request) -> Response:
        """What rows can be asked for by."""
        await self._allow(request, VIEW)
        return json_answer(await self._questions.ask(queries.names))

    async def show_trends(self, request: Request) -> Response:
        """How the line went."""
        await self._allow(request, VIEW)
        given = _only(request, {"from_ms", "to_ms", "camera", "recipe"})
        now = self._clock()
        from_ms, to_ms = filters.span(given, now, 86_400_000)

        def question(connection: sqlite3.Connection) -> ToldTrends:
            gaps, older = queries.gaps(connection, from_ms, to_ms, now)
            return {
                **trends(connection, from_ms, to_ms, given.get("camera"), given.get("recipe")),
                "complete_from_ms": queries.complete_from_ms(connection),
                "gaps": gaps,
                "has_older_gaps": older is not None,
            }

        return json_answer(await self._questions.ask(question))

    async def list_events(self, request: Request) -> Response:
        """What the line said of itself, newest first."""
        await self._allow(request, VIEW)
        given = _only(request, {"from_ms", "to_ms", "camera"})
        to_ms = milliseconds(given, "to_ms", self._clock() + 1)
        from_ms = milliseconds(given, "from_ms", 0)
        camera = given.get("camera")
        rows = await self._questions.ask(
            lambda connection: events(connection, from_ms, to_ms, camera, _MAX_EVENTS)
        )
        return json_answer({"rows": rows})

    async def show_watch(self, request: Request) -> Response:
        """Whether more or fewer parts of a recipe are rejected than before a moment."""
        await self._allow(request, VIEW)
        given = _only(request, {"since_ms", "place", "recipe"})
        now = self._clock()
        since_ms = milliseconds(given, "since_ms", now)
        camera, _, region = given.get("place", "").partition("/")
        of = WatchedPlace(given.get("recipe", ""), camera, region)
        return json_answer(await self._questions.ask(lambda connection: watch(connection, of, since_ms, now)))

    async def _page(self, wanted: RowRequest) -> ToldRowPage:
        items, page = await self._questions.ask(functools.partial(self._read, wanted))
        evidence = await self._desk.has(items)
        for row, found in zip(page["rows"], evidence, strict=True):
            row["evidence"] = found
        return page

    def _read(self, wanted: RowRequest, connection: sqlite3.Connection) -> tuple[list[Numbered], ToldRowPage]:
        found, after = queries.page(
            connection, wanted.filter, wanted.before, wanted.limit, is_oldest_first=wanted.is_oldest_first
        )
        gaps, older = queries.gaps(connection, wanted.filter.from_ms, wanted.filter.to_ms, self._clock())
        items = [unpack(row.body) for row in found]
        return items, {
            "rows": [row_of(item, row.recipe or None) for item, row in zip(items, found, strict=True)],
            "next": None if after is None else str(after),
            "complete_from_ms": queries.complete_from_ms(connection),
            "gaps": gaps,
            "has_older_gaps": older is not None,
        }

    async def _exported(self, wanted: RowRequest) -> tuple[ToldRowPage, bytes]:
        """A page of rows, and the same as lines; exports take turns, so that questions are not held up."""
        async with self._export_turn:
            page = await self._page(wanted)
            return page, await to_thread.run_sync(csv_export.lines, page["rows"], self._zone)

    async def _csv(
        self, request: Request, wanted: RowRequest, first: tuple[ToldRowPage, bytes]
    ) -> AsyncIterator[bytes]:
        page, lines = first
        yield csv_export.heading()
        try:
            async for missing in self._gap_lines(wanted.filter):
                yield missing
            yield lines
            while page["next"] is not None:
                at, key = page["next"].split(".")
                wanted = msgspec.structs.replace(wanted, before=PagePlace(int(at), int(key)))
                # Who was logged out meanwhile, or may not any more, gets no more.
                await self._allow(request, VIEW)
                page, lines = await self._exported(wanted)
                yield lines
        except ApiError as error:  # the answer began long ago: only the file itself can say it
            yield csv_export.broken_line(error.sentence)

    async def _gap_lines(self, wanted: Filter) -> AsyncIterator[bytes]:
        """Every gap of a time, some hundred at once."""
        ask = functools.partial(
            queries.gaps, from_ms=wanted.from_ms, to_ms=wanted.to_ms, now_ms=self._clock()
        )
        older: int | None = queries.NEWEST
        while older is not None:
            async with self._export_turn:
                gaps, older = await self._questions.ask(functools.partial(ask, before=older))
            yield csv_export.gap_lines(gaps, self._zone)


def _wanted(request: Request) -> RowRequest:
    return filters.parse(request.query_params.multi_items())


def _only(request: Request, names: set[str]) -> dict[str, str]:
    """The parameters of a request, none but these, each once."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names or name in given or len(value) > 256:
            raise FilterError(f"expected {', '.join(sorted(names))} at most once each")
        given[name] = value
    return {name: value for name, value in given.items() if value}
