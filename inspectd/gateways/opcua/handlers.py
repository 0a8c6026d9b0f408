"""What the methods of jobs and recipes do."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec
from asyncua import ua

from inspectd.client import Accepted, Event, RecipeAck, RecipeAction, RecipeState
from inspectd.client.clock import clock_seconds
from inspectd.gateways.opcua.access import CALLER, CAME
from inspectd.gateways.opcua.halted import HaltMark
from inspectd.gateways.opcua.line_side import LineSide
from inspectd.gateways.opcua.methods import Answer, PlantMethod
from inspectd.gateways.opcua.results import VisionJob
from inspectd.gateways.opcua.settings import PlantRole
from inspectd.gateways.opcua.structures import PlantTypes
from inspectd.gateways.opcua.vision import MethodError, VisionSystem, method_error

_RECIPE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})(?:@([0-9]{1,9}))?")
_OBSERVER, _OPERATOR, _ENGINEER = PlantRole.OBSERVER, PlantRole.OPERATOR, PlantRole.ENGINEER
_REASON: Final = ("number", "text")
_JOB: Final = ("id", "id", "id", "id", "list")
_AUTOMATIC: Final = "VisionStateMachine.AutomaticModeStateMachine"


class _Loading(NamedTuple):
    """A recipe that a client had prepared, and the line has not said the end of."""

    recipe: str
    since: float | None = None
    """When the line had said that it loads it; None: it has not answered yet."""


class VisionHandlers:
    """Handlers of one line.

    Args:
        vision: what clients see.
        line: where it goes.
        types: structures.
        halt_mark: remembers that Halt was called.
        on_change: awaited when a state may have changed.
    """

    def __init__(
        self, vision: VisionSystem, line: LineSide, types: PlantTypes, halt_mark: HaltMark,
        on_change: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        """Nothing was asked yet."""
        self._vision, self._line, self._types = vision, line, types
        self._halt_mark, self._on_change = halt_mark, on_change
        self._loading: dict[str, _Loading] = {}
        self._requests = 0

    def methods(self) -> list[PlantMethod]:
        """All of jobs and recipes."""
        recipes = "RecipeManagement"
        return [
            PlantMethod("VisionStateMachine.Halt", _REASON, _OPERATOR, self._halt),
            PlantMethod("VisionStateMachine.Reset", _REASON, _OPERATOR, self._reset),
            PlantMethod(
                f"{_AUTOMATIC}.StartSingleJob", _JOB, _OPERATOR, self._start_single_job, self._tell_of_part
            ),
            PlantMethod(f"{_AUTOMATIC}.StartContinuous", _JOB, _OPERATOR, self._start_continuous),
            PlantMethod(f"{_AUTOMATIC}.Stop", _REASON, _OPERATOR, self._stop),
            PlantMethod(f"{_AUTOMATIC}.Abort", _REASON, _OPERATOR, self._abort),
            PlantMethod(f"{recipes}.PrepareRecipe", ("id", "id"), _ENGINEER, self._prepare),
            PlantMethod(f"{recipes}.UnprepareRecipe", ("id", "id"), _ENGINEER, self._unprepare),
            PlantMethod(
                f"{recipes}.GetRecipeListFiltered", ("id", "id", *["number"] * 4), _OBSERVER, self._recipes
            ),
        ]

    def loaded(self, event: Event) -> tuple[str, bool] | None:
        """The recipe of a client that an event of the line is about, and whether it is loaded; or None."""
        if event.event not in {"recipe_prepared", "recipe_failed"}:
            return None
        for request, loading in list(self._loading.items()):
            if f"({request})" in event.detail:
                del self._loading[request]
                return loading.recipe, event.event == "recipe_prepared"
        return None

    def settled(self) -> list[tuple[str, bool]]:
        """Recipes of clients whose event was lost, and whether they are loaded, by what the line says."""
        status, found = self._line.status, []
        for request, (recipe, since) in list(self._loading.items()):
            # What it said before it began to load knows nothing of it.
            if status is None or since is None or self._line.status_asked_at <= since:
                continue
            is_loaded = status.has_loaded(recipe)
            if is_loaded is not None:
                del self._loading[request]
                found.append((recipe, is_loaded))
        return found

    def line_ended(self) -> list[str]:
        """Recipes of clients that the line was loading as it ended, of which it says no more."""
        left = [loading.recipe for loading in self._loading.values()]
        self._loading.clear()
        return left

    async def _start_single_job(
        self, meas: str, part: str, recipe: str, product: str, parameters: list[Any]
    ) -> Answer:
        job = self._types.named
        error = self._vision.refusal()
        if not error and (parameters or len(part) > 128 or not part.isprintable()):
            error = MethodError.ARGUMENT
        if error:
            self._tell_of_part()
            return [ua.Variant(job("JobId", "")), _error(error)]
        begun = self._vision.begin(
            CAME.get(), part_id=part or None, meas_id=meas, product_id=product, user=CALLER.get()
        )
        try:
            answer = await self._taken(begun, recipe)
        except asyncio.CancelledError:  # the client went: its job would stay open for ever
            self._line.job_ended(begun)  # it may not have been sent
            raise
        if isinstance(answer, MethodError):
            return [ua.Variant(job("JobId", "")), _error(answer)]
        is_wanted = self._vision.accepted(begun, answer)
        await self._on_change()
        if not is_wanted:
            return [ua.Variant(job("JobId", "")), _error(MethodError.NOT_READY)]
        return [ua.Variant(job("JobId", begun.trigger_id)), _error(MethodError.OK)]

    def _tell_of_part(self) -> None:
        """Tell the line of a part whose job is refused here.

        In a state without jobs the parts that the line judges are others', and their senders tell of each.
        """
        if not self._vision.refusal() or self._vision.open_jobs > 0:
            self._line.part_refused()

    async def _taken(self, begun: VisionJob, recipe: str) -> Accepted | MethodError:
        """The line's answer to a job by this recipe, or why it is none.

        The job has begun by now: a recipe that is put in force first takes of its time, and what ends jobs
        meanwhile ends this one.
        """
        explicit = None
        if recipe:
            error, explicit = await self._made_ready(recipe)
            if error:
                self._line.job_ended(begun)
                return error
        answer = await self._line.trigger(msgspec.structs.replace(begun, recipe=explicit))
        if isinstance(answer, Accepted) and not _is_of(recipe, answer):
            answer = "unknown_recipe"  # another one was put in force meanwhile
        if not isinstance(answer, Accepted):
            self._vision.refused(begun, answer)
            return method_error(answer)
        return answer

    async def _start_continuous(
        self, _meas: str, part: str, recipe: str, _product: str, parameters: list[Any]
    ) -> Answer:
        error = self._vision.refusal()
        if not error and (parameters or part):
            error = MethodError.ARGUMENT
        if not error and recipe:
            error, explicit = await self._made_ready(recipe)
            error = MethodError.ARGUMENT if explicit is not None else error
        if error:
            return [ua.Variant(self._types.named("JobId", "")), _error(error)]
        name = self._vision.begin_continuous()
        await self._on_change()
        return [ua.Variant(self._types.named("JobId", name)), _error(MethodError.OK)]

    async def _stop(self, _cause: int, _text: str) -> Answer:
        ended = self._vision.end_continuous()
        await self._on_change()
        return [_error(MethodError.OK if ended else MethodError.NOT_READY)]

    async def _abort(self, _cause: int, _text: str) -> Answer:
        self._vision.abort(clock_seconds(), time.time_ns())
        await self._on_change()
        return [_error(MethodError.OK)]

    async def _halt(self, _cause: int, _text: str) -> Answer:
        self._vision.halt(clock_seconds(), time.time_ns())
        self._halt_mark.keep(CALLER.get(), is_halted=True)
        await self._on_change()
        return [_error(MethodError.OK)]

    async def _reset(self, _cause: int, _text: str) -> Answer:
        self._vision.reset()
        self._halt_mark.keep(CALLER.get(), is_halted=False)
        await self._on_change()
        return [_error(MethodError.OK)]

    async def _prepare(self, external: str, internal: str) -> Answer:
        answer = await self._ask(RecipeAction.PREPARE, internal or external)
        if isinstance(answer, MethodError):
            return [ua.Variant(self._types.recipe(internal)), ua.Variant(Value=False), _error(answer)]
        made = self._types.recipe(f"{answer.recipe}@{answer.version}", answer.recipe_sha256)
        is_completed = answer.state is not RecipeState.LOADING
        return [ua.Variant(made), ua.Variant(is_completed), _error(MethodError.OK)]

    async def _unprepare(self, external: str, internal: str) -> Answer:
        answer = await self._ask(RecipeAction.UNPREPARE, internal or external)
        if isinstance(answer, MethodError):
            return [ua.Variant(self._types.recipe(internal)), _error(answer)]
        made = self._types.recipe(f"{answer.recipe}@{answer.version}", answer.recipe_sha256)
        return [ua.Variant(made), _error(MethodError.OK)]

    async def _ask(self, action: RecipeAction, name: str) -> RecipeAck | MethodError:
        known = _RECIPE.fullmatch(name)
        if known is None:
            return MethodError.UNKNOWN_RECIPE
        self._requests += 1
        request = f"opcua-{time.time_ns()}-{self._requests}"
        version = None if known[2] is None else int(known[2])
        self._loading[request] = _Loading(name)  # before the answer, which the event may overtake
        try:
            answer = await self._line.ask(action, known[1], version, CALLER.get(), request)
        except asyncio.CancelledError:  # the client went, and nobody waits for the event
            self._loading.pop(request, None)
            raise
        if not isinstance(answer, RecipeAck) or answer.state is not RecipeState.LOADING:
            self._loading.pop(request, None)
        elif request in self._loading:
            self._loading[request] = _Loading(answer.name, clock_seconds())
        return answer if isinstance(answer, RecipeAck) else method_error(answer)

    async def _made_ready(self, recipe: str) -> tuple[MethodError, str | None]:
        """Have parts judged by a recipe: an error, and its name where each trigger has to name it."""
        status = self._line.status
        if status is None:
            return MethodError.NOT_READY, None
        if recipe in {status.in_force, status.in_force.partition("@")[0]}:
            return MethodError.OK, None
        if recipe in {each.recipe for each in status.recipes}:
            return MethodError.OK, recipe
        if recipe not in {*status.prepared, *(each.partition("@")[0] for each in status.prepared)}:
            return MethodError.UNKNOWN_RECIPE, None
        answer = await self._ask(RecipeAction.ACTIVATE, recipe)
        return (answer if isinstance(answer, MethodError) else MethodError.OK), None

    async def _recipes(
        self, external: str, _product: str, prepared: int, most: int, start: int, _timeout: int
    ) -> Answer:
        status = self._line.status
        names = []
        if status is not None:
            own = [each.recipe for each in status.recipes] if status.in_force.startswith("file") else []
            names = list(dict.fromkeys([status.in_force, *status.prepared, *own]))
        wanted = [name for name in names if prepared and external in {"", name, name.partition("@")[0]}]
        shown = [self._types.recipe(name) for name in wanted[max(0, start) :][: most if most > 0 else None]]
        error = MethodError.NOT_READY if status is None else MethodError.OK
        return [
            ua.Variant(max(0, start) + len(shown) >= len(wanted)),
            ua.Variant(len(shown), ua.VariantType.UInt32),
            ua.Variant(0, ua.VariantType.UInt32),
            ua.Variant(shown, ua.VariantType.ExtensionObject, is_array=True),
            _error(error),
        ]


def _is_of(wanted: str, answer: Accepted) -> bool:
    """Whether the line judges a job by the recipe that was asked for.

    Its answer alone says so: what it last said of itself is from before the job.
    """
    name, _, version = wanted.partition("@")
    if name == "file":
        return answer.recipe_version is None  # each of the store has a version, none of the file has
    return not wanted or (name == answer.recipe and version in {"", str(answer.recipe_version)})


def _error(code: MethodError) -> Any:
    return ua.Variant(int(code), ua.VariantType.Int32)
