"""What the methods of results do: they answer from the line's journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from asyncua import ua

from inspectd.errors import UnavailableError
from inspectd.gateways.opcua.journal import RecordedResults
from inspectd.gateways.opcua.line_side import LineSide
from inspectd.gateways.opcua.methods import Answer, PlantMethod
from inspectd.gateways.opcua.results import VisionResult
from inspectd.gateways.opcua.settings import PlantRole
from inspectd.gateways.opcua.structures import PlantTypes
from inspectd.gateways.opcua.vision import MethodError
from inspectd.gateways.parts import Judgement

MOST_RESULTS: Final = 100
_LONGEST_SECONDS: Final = 10.0
_OBSERVER: Final = PlantRole.OBSERVER
_NOTHING: Final = VisionResult(
    result_id="", job_id="", judgement=Judgement.NONE, reason=0, created_utc_ns=0, started_utc_ns=0
)
"""Stands in an answer that is an error."""

_Found = TypeVar("_Found")


class ResultHandlers:
    """Handlers of results; questions to the journal are answered one after the other.

    Args:
        line: whose results.
        recorded: its journal.
        types: structures.
    """

    def __init__(self, line: LineSide, recorded: RecordedResults, types: PlantTypes) -> None:
        """Nothing was told yet."""
        self.latest: VisionResult | None = None
        """The last result that was told."""
        self._line, self._recorded, self._types = line, recorded, types
        self._reading: asyncio.Task[Any] | None = None

    def methods(self) -> list[PlantMethod]:
        """All of results."""
        results, filters = "ResultManagement", ("number", *["id"] * 8, *["number"] * 3)
        return [
            PlantMethod(f"{results}.GetResultById", ("id", "number"), _OBSERVER, self._result),
            PlantMethod(f"{results}.GetResultComponentsById", ("id", "number"), _OBSERVER, self._components),
            PlantMethod(f"{results}.GetResultListFiltered", filters, _OBSERVER, self._results),
            PlantMethod("Results.GetLatestResult", ("number",), _OBSERVER, self._latest),
            PlantMethod("Results.GetResultById", ("text", "number"), _OBSERVER, self._machinery_result),
        ]

    async def _results(self, state: int, *given: Any) -> Answer:
        meas, part, recipe, version, _, _, product, job, most, start, timeout = given
        start = max(0, start)

        def is_wanted(result: VisionResult) -> bool:
            return (
                (not state or state == result.state) and not (meas or product) and job in {"", result.job_id}
                and part in {"", result.part_id} and recipe in {"", result.recipe}
                and version in {"", result.recipe_version}
            )  # fmt: skip

        def look() -> tuple[list[VisionResult], bool]:
            return self._recorded.newest(
                self._line.ends, is_wanted, start + (min(most, MOST_RESULTS) if most > 0 else MOST_RESULTS)
            )

        found = await self._read(look, timeout)
        found_results, is_complete = ([], False) if isinstance(found, MethodError) else found
        shown = [self._types.result(result) for result in found_results[start:]]
        return [
            ua.Variant(is_complete), _count(len(shown)), _count(0),
            ua.Variant(shown, ua.VariantType.ExtensionObject, is_array=True),
            _error(found),
        ]  # fmt: skip

    async def _one(self, result_id: str, timeout: int) -> VisionResult | MethodError:
        latest = self.latest
        if latest is not None and latest.result_id == result_id:
            return latest
        found = await self._read(lambda: self._recorded.by_id(result_id), timeout)
        return MethodError.ARGUMENT if found is None else found

    async def _result(self, result_id: str, timeout: int) -> Answer:
        found = await self._one(result_id, timeout)
        return [_count(0), ua.Variant(self._types.result(_shown(found))), _error(found)]

    async def _components(self, result_id: str, timeout: int) -> Answer:
        found = await self._one(result_id, timeout)
        shown = self._types.event_fields(_shown(found))
        del shown["ResultId"]
        partial, content = shown.pop("IsPartial"), shown.pop("ResultContent")
        simulated, state = shown.pop("IsSimulated"), shown.pop("ResultState")
        return [
            ua.Variant(Value=False), _count(0), partial, simulated,
            state, *shown.values(),
            content, _error(found),
        ]  # fmt: skip

    async def _latest(self, timeout: int) -> Answer:
        if self.latest is not None:
            return self._machinery_answer(self.latest)
        found = await self._read(lambda: self._recorded.newest(self._line.ends, lambda _: True, 1), timeout)
        if isinstance(found, MethodError):
            return self._machinery_answer(found)
        return self._machinery_answer(found[0][0] if found[0] else MethodError.ARGUMENT)

    async def _machinery_result(self, result_id: str, timeout: int) -> Answer:
        return self._machinery_answer(await self._one(result_id, timeout))

    def _machinery_answer(self, found: VisionResult | MethodError) -> Answer:
        return [_count(0), ua.Variant(self._types.machinery_result(_shown(found))), _error(found)]

    async def _read(self, look: Callable[[], _Found], timeout_ms: int) -> _Found | MethodError:
        """Ask the journal in a thread; its answer is not waited for longer than a client wants.

        The thread goes on all the same, and it is one of those by which the line is asked for its status and
        recipes: until it is done, there is no other question.
        """
        if self._reading is not None and not self._reading.done():
            return MethodError.OVERLOAD
        reading = self._reading = asyncio.create_task(_asked(look))
        seconds = timeout_ms / 1000 if timeout_ms > 0 else _LONGEST_SECONDS
        done, _ = await asyncio.wait({reading}, timeout=min(seconds, _LONGEST_SECONDS))
        return reading.result() if done else MethodError.NO_ANSWER


async def _asked(look: Callable[[], _Found]) -> _Found | MethodError:
    try:
        return await asyncio.to_thread(look)
    except UnavailableError:
        return MethodError.NO_ANSWER


def _shown(found: VisionResult | MethodError) -> VisionResult:
    return _NOTHING if isinstance(found, MethodError) else found


def _error(found: object) -> Any:
    return ua.Variant(int(found) if isinstance(found, MethodError) else 0, ua.VariantType.Int32)


def _count(number: int) -> Any:
    return ua.Variant(number, ua.VariantType.UInt32)
