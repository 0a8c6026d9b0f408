"""One part: its verdict with every field, its views, its pictures, and why it was judged so."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from inspectd.errors import InputError
from inspectd.evidence.record import FRAME, HEATMAP
from inspectd.page.answers import ApiError, json_answer
from inspectd.page.history import queries
from inspectd.page.history.asking import HistoryQuestions
from inspectd.page.history.children import Children
from inspectd.page.history.evidence import EvidenceTree, KeptEvidence
from inspectd.page.history.evidence_desk import EvidenceDesk
from inspectd.page.history.explaining import Explainer
from inspectd.page.history.rows import Numbered, every_field, unpack
from inspectd.page.rows import row_of
from inspectd.page.told_pages import ToldHeatmap, ToldPartFacts, ToldPicture
from inspectd.wire import PartVerdict, Verdict

_EDGE_PX: Final = 1600
_PICTURE_SECONDS: Final = 15.0
_MODULE: Final = "inspectd.page.history.picture_child"
_MAX_NUMBER: Final = 2**53
_AT_A_TIME: Final = 2

_Found = tuple[Numbered, str, list[tuple[Numbered, str]]]
"""A verdict, its recipe, and its views with theirs."""


class PartPages:
    """Answers what is asked about one verdict, named by its epoch and seq.

    Args:
        questions: what answers.
        allow: see `routes.Allow`.
        record: see `routes.Record`.
        desk: the line's evidence.
        explainer: scores a part again.
        clock: milliseconds since 1970.
    """

    def __init__(
        self,
        *,
        questions: HistoryQuestions,
        allow: Callable[[Request, str], Awaitable[Any]],
        record: Callable[[Any, str, str], Awaitable[None]],
        desk: EvidenceDesk,
        explainer: Explainer,
        clock: Callable[[], int],
    ) -> None:
        self._questions, self._allow, self._record = questions, allow, record
        self._desk, self._explainer, self._clock = desk, explainer, clock
        self._children = Children(_AT_A_TIME)

    async def show(self, request: Request) -> Response:
        """Everything about a verdict but the pictures themselves."""
        await self._allow(request, "view")
        item, recipe, views = await self._found(request)
        kept, why, problem = await self._looked_up(item)
        evidence = await self._desk.has([item, *(view for view, _ in views)])
        url = f"/api/parts/{item.epoch}/{item.seq}"
        why_not_explained = self._explainer.why_not(kept)
        rows = [row_of(item, recipe or None), *(row_of(view, of or None) for view, of in views)]
        for row, found in zip(rows, evidence, strict=True):
            row["evidence"] = found
        rows[0]["detail"] = kept.record.detail or None if kept else None
        told: ToldPartFacts = {
            "row": rows[0],
            "all": every_field(item),
            "views": rows[1:],
            "picture": _picture(kept, why, problem, url),
            "heatmap": _heatmap(kept, why, url),
            "measures": kept.record.measures if kept else {},
            "settings": kept.record.recipe if kept else None,
            "explain": {"available": why_not_explained is None, "why": why_not_explained},
        }
        return json_answer(told)

    async def give_picture(self, request: Request) -> Response:
        """The frame as JPEG."""
        await self._allow(request, "view")
        kept = await self._kept_of(request)
        data = await self._converted(kept, FRAME, ["frame", str(_EDGE_PX)])
        return _immutable(data, "image/jpeg")

    async def give_heatmap(self, request: Request) -> Response:
        """The heatmap's bytes, row by row, on the scale of every picture (`wire.heat_of`)."""
        await self._allow(request, "view")
        kept = await self._kept_of(request)
        heatmap, threshold = kept.record.heatmap, kept.record.verdict.threshold
        if heatmap is None or threshold is None:
            raise ApiError(404, "no_heatmap", "This part has no heatmap: it got no score.")
        numbers = heatmap.height, heatmap.width, heatmap.minimum, heatmap.step, threshold
        data = await self._converted(kept, HEATMAP, ["heat", *(repr(number) for number in numbers)])
        if len(data) != heatmap.height * heatmap.width:
            raise ApiError(500, "damaged", "The heatmap that was kept is not whole.")
        return _immutable(data, "application/octet-stream")

    async def explain(self, request: Request) -> Response:
        """The part scored again."""
        account = await self._allow(request, "explain")
        kept = await self._kept_of(request)
        why = self._explainer.why_not(kept)
        if why is not None:
            raise ApiError(409, why, f"This part cannot be explained here: {why}.")
        verdict = kept.record.verdict
        await self._record(account, "explain", f"verdict {verdict.epoch}:{verdict.seq}")
        return json_answer(await self._explainer.explain(kept))

    # ------------------------------------------------------------------------------------------------------

    async def _found(self, request: Request) -> _Found:
        epoch, seq = request.path_params["epoch"], request.path_params["seq"]
        found: _Found | None = None
        if epoch <= _MAX_NUMBER and seq <= _MAX_NUMBER:
            found = await self._questions.ask(lambda connection: _read(connection, epoch, seq))
        if found is None:
            raise ApiError(
                404,
                "unknown",
                "This verdict is not in the history: it is older than what is kept, or never was.",
            )
        return found

    async def _kept_of(self, request: Request) -> KeptEvidence:
        item, _, _ = await self._found(request)
        kept, why, problem = await self._looked_up(item)
        if problem is not None:
            raise ApiError(500, "damaged", f"The evidence of this part cannot be read: {problem}")
        if kept is None:
            raise ApiError(404, str(why), f"No picture of this part is there: {why}.")
        return kept

    async def _looked_up(self, item: Numbered) -> tuple[KeptEvidence | None, str | None, str | None]:
        """The evidence of a verdict; else why there is none, and what is wrong with what is there."""
        now = self._clock()

        def look(tree: EvidenceTree) -> tuple[KeptEvidence | None, str | None, str | None]:
            try:
                kept = tree.find(item) if isinstance(item, Verdict) else None
            except InputError as error:
                return None, "damaged", str(error)
            return kept, None if kept else tree.why_none(item, now), None

        try:
            return await self._desk.ask(look)
        except ApiError as error:
            return None, error.what, None

    async def _converted(self, kept: KeptEvidence, name: str, arguments: list[str]) -> bytes:
        """A picture of the evidence, made anew by a process of its own."""
        try:
            with await self._desk.ask(lambda _: kept.open(name)) as source:
                result = await self._children.run(_MODULE, arguments, seconds=_PICTURE_SECONDS, source=source)
        except (OSError, InputError) as error:
            words = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise ApiError(500, "damaged", f"The picture of this part cannot be read: {words}") from error
        if result.code is None:
            raise ApiError(504, "too_long", "The picture could not be made in time; try again.")
        if result.code != 0:
            last = (result.error.strip().splitlines() or ["its decoder ended"])[-1]
            raise ApiError(500, "damaged", f"The picture of this part cannot be shown: {last[:300]}")
        return result.output


def _read(connection: sqlite3.Connection, epoch: int, seq: int) -> _Found | None:
    row = queries.row_named(connection, epoch, seq)
    if row is None:
        return None
    item = unpack(row.body)
    views = item.views if isinstance(item, PartVerdict) else []
    found = [queries.row_named(connection, epoch, view.seq) for view in views]
    return item, row.recipe, [(unpack(view.body), view.recipe) for view in found if view is not None]


def _picture(kept: KeptEvidence | None, why: str | None, problem: str | None, url: str) -> ToldPicture:
    if kept is None:
        return {
            "kept": False, "why": why, "detail": problem, "url": None, "width": None, "height": None,
            "rectangle": None,
        }  # fmt: skip
    record = kept.record
    return {
        "kept": True, "why": None, "detail": None, "url": f"{url}/picture",
        "width": record.frame_width, "height": record.frame_height,
        "rectangle": record.verdict.rectangle,
    }  # fmt: skip


def _heatmap(kept: KeptEvidence | None, why: str | None, url: str) -> ToldHeatmap:
    heatmap = kept.record.heatmap if kept else None
    if kept is None or heatmap is None or kept.record.verdict.threshold is None:
        return {
            "kept": False, "why": why or "no_score", "url": None, "width": None, "height": None,
            "threshold": None, "rectangle": None,
        }  # fmt: skip
    return {
        "kept": True, "why": None, "url": f"{url}/heatmap",
        "height": heatmap.height, "width": heatmap.width,
        "threshold": kept.record.verdict.threshold,
        "rectangle": heatmap.rectangle or kept.record.verdict.rectangle,
    }  # fmt: skip


def _immutable(data: bytes, media_type: str) -> Response:
    """What never changes under its name; kept by this browser alone, for a while."""
    return Response(data, media_type=media_type, headers={"Cache-Control": "private, max-age=600"})
