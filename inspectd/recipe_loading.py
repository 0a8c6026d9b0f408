"""Loads a recipe by the idle side of the scoring pool, and has that side take the other one's place.

Nothing that parts are judged by is touched until the idle side is warm: whatever goes wrong before, the line
goes on as it was. `changeover` says what is loaded, and puts it in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from inspectd.alarms import EmitEvent
from inspectd.batching.stage import BatchingStage
from inspectd.errors import InspectdError
from inspectd.metrics import Metrics
from inspectd.recipes.book import LineRecipe, RecipeBook
from inspectd.scoring.messages import ScoringReady
from inspectd.scoring.pool import ScoringPool
from inspectd.scoring.stage import ScoringStage
from inspectd.supervisor import Supervisor
from inspectd.text import MAX_DETAIL_CHARACTERS
from inspectd.wire import RecipeAction, RecipeRefusalReason

_PATIENCE_NS: Final = 20_000_000_000
"""A recipe that found no free time to load until then is loaded at the cost of the others."""
_IN_USE_NS: Final = 10_000_000_000
"""Recipes that have to leave may be in use for so long."""


class _Loading(msgspec.Struct):
    """A recipe that the idle side of the pool loads."""

    request: str
    recipe: LineRecipe
    hurry_ns: int
    is_in_hurry: bool = False
    ready: set[int] = set()
    use_ns: int = 0
    """Until then it waits for recipes that have to leave, once it is warm."""


class RecipeLoader:
    """Loads one recipe at a time beside those that are loaded.

    Args:
        most: so many are loaded at once.
        book: what is loaded and in force.
        pool: the scoring processes.
        batching: whose lanes they are.
        supervisor: starts and ends processes.
        on_banks_changed: other recipes are loaded than before.
        metrics: counts what failed.
        emit: publishes events.
        clock: monotonic, in nanoseconds.
    """

    def __init__(
        self,
        most: int,
        book: RecipeBook,
        pool: ScoringPool,
        batching: BatchingStage,
        *,
        supervisor: Supervisor,
        on_banks_changed: Callable[[], None],
        metrics: Metrics,
        emit: EmitEvent,
        clock: Callable[[], int],
    ) -> None:
        self._most = most
        self._book = book
        self._pool = pool
        self._batching = batching
        self._supervisor = supervisor
        self._on_banks_changed = on_banks_changed
        self._metrics = metrics
        self._emit = emit
        self._clock = clock
        self._loading: _Loading | None = None
        self._retiring: list[ScoringStage] = []
        self._banks: dict[str, str] = {}
        """The bank's sha256 by key, of all that was ever loaded: no key may come to mean another bank."""
        self.last_failure = ""
        """Why the last recipe could not be loaded, in words."""

    @property
    def recipe(self) -> LineRecipe | None:
        """The one that is being loaded."""
        return None if self._loading is None else self._loading.recipe

    @property
    def is_busy(self) -> bool:
        """Whether `turn` has something to wait for, so that no other recipe can be loaded."""
        return self._loading is not None or bool(self._retiring)

    def load(self, recipe: LineRecipe, request: str) -> None:
        """Have the idle side load a recipe beside those that stay, while not `is_busy`.

        Args:
            recipe: none that is loaded.
            request: who asked for it, in events.

        Raises:
            InspectdError: no process can be had now.
        """
        kept = self._kept_beside()
        wanted = {each.name: each for line_recipe in (recipe, *kept) for each in line_recipe.recipes}
        spare = [key for each in kept if each is not self._book.in_force for key in sorted(each.keys)]
        stages = self._pool.load(list(wanted.values()), spare)
        now_ns = self._clock()
        self._loading = _Loading(request, recipe, now_ns + _PATIENCE_NS)
        try:
            for stage in stages:
                self._supervisor.start(stage, now_ns, once=True)
        except InspectdError:
            self._loading = None
            self._stop(stages)
            raise

    def _kept_beside(self) -> list[LineRecipe]:
        """Loaded ones that stay beside a new one: those used last, the one in force at the end."""
        others = [each for each in self._book.loaded if each is not self._book.in_force]
        room = max(0, self._most - 2)
        return [*(others[-room:] if room else []), self._book.in_force]

    # --- what is loaded ------------------------------------------------------------------------------------

    def serve_loaded(self, *, is_recording: bool) -> None:
        """Have a scoring process that starts anew load what the book has; it waits for what judges alone.

        Args:
            is_recording: as for `turn`.
        """
        if not is_recording:
            self._forget_left_out()
        needed = self._book.in_force.keys
        others = [key for recipe in self._book.loaded for key in sorted(recipe.keys) if key not in needed]
        self._pool.serve(needed, others)

    def _forget_left_out(self) -> None:
        """Have recipes no more that no process could load again; the one in force is waited for."""
        there = {bank.recipe for bank in self._pool.loaded(self._pool.serving)}
        for recipe in self._book.loaded if self._pool.is_known else ():
            if not recipe.keys <= there and recipe is not self._book.in_force:
                self._book.remove(recipe)
                detail = f"{recipe.name}: no longer prepared: a scoring process could not load it again"
                self._emit("warning", "recipe_failed", detail=detail)

    def admit(self, process: int, ready: ScoringReady) -> tuple[ScoringReady, dict[str, tuple[str, str]]]:
        """What of a process's banks may judge; those that may not and should, with the sha256 of both.

        One that is another bank than its key has meant until now is left out where it judges nothing.

        Args:
            process: its number.
            ready: what it has loaded.
        """
        expected = {**self.expected_banks, **self._book.in_force.banks, **self._banks}
        found = {bank.recipe: bank.bank_sha256 for bank in ready.banks}
        changed = {key: (expected[key], has) for key, has in found.items() if expected.get(key, has) != has}
        judging = self._book.in_force.keys | self.expected_banks.keys()
        if others := changed.keys() - judging:
            ready = self._pool.stages[process].leave_out(others)
            detail = f"{', '.join(sorted(others))}: left out, as its bank is another one than it was"
            self._emit("warning", "recipe_failed", detail=detail)
        changed = {key: changed[key] for key in changed.keys() & judging}
        if not changed:
            self._banks |= {bank.recipe: bank.bank_sha256 for bank in ready.banks}
        return ready, changed

    # --- what scoring answers ------------------------------------------------------------------------------

    def concerns(self, process: int) -> bool:
        """Whether a process is none of those that serve: what becomes of it changes nothing for parts."""
        return self._pool.stages[process] in self._pool.standby

    @property
    def expected_banks(self) -> dict[str, str]:
        """The bank's sha256 by key of the recipe that is being loaded."""
        return {} if self._loading is None else self._loading.recipe.banks

    def on_ready(self, process: int, changed: Mapping[str, tuple[str, str]]) -> None:
        """A process of the idle side has loaded and warmed what it could.

        Args:
            process: its number.
            changed: keys whose bank is not the one it should be, with the sha256 of both.
        """
        loading = self._loading
        if loading is None:
            return
        if changed:
            told = (f"{key}: is {has[:12]}..., expected {had[:12]}..." for key, (had, has) in changed.items())
            detail = f"sha256 of the bank of {'; '.join(told)}; {self._remedy(changed)}"
            is_its_own = bool(changed.keys() & loading.recipe.keys)  # or of what judges, loaded beside it
            self.fail(RecipeRefusalReason.DAMAGED if is_its_own else RecipeRefusalReason.FAILED, detail)
            return
        if not loading.ready:
            loading.use_ns = self._clock() + _IN_USE_NS
        loading.ready.add(process)

    def _remedy(self, changed: Mapping[str, tuple[str, str]]) -> str:
        if self._book.in_force.is_file and self._book.in_force.keys & changed.keys():
            # What judges has to be loaded too, and its bank is no longer there.
            return "it judges now: give the new bank a file name of its own, or restart the line"
        return "import it again, or restart the line"

    def on_lost(self, process: int, cause: str) -> None:
        """A process that does not serve is gone: the recipe it was loading cannot be prepared."""
        stage = self._pool.stages[process]
        if stage in self._retiring:
            self._retire(stage)
        elif self._loading is not None:
            self.fail(RecipeRefusalReason.FAILED, cause)

    def turn(self, now_ns: int, *, is_recording: bool) -> None:
        """Change sides when the idle one is warm, and end processes that owe nothing.

        Args:
            now_ns: by `clock`.
            is_recording: a loaded recipe is on its way to be in force, so that none can leave.
        """
        loading = self._loading
        if loading is not None and len(loading.ready) == len(self._pool.standby):
            self._change_sides(loading, is_recording=is_recording)
        elif loading is not None:
            self._load_behind(loading, now_ns)
        for stage in list(self._retiring):
            if self._batching.is_done(self._pool.stages.index(stage)):
                self._supervisor.stop(stage.name, behind=True)
                self._retire(stage)

    def _load_behind(self, loading: _Loading, now_ns: int) -> None:
        """Have what loads leave the processors to what scores, for as long as there is patience."""
        if now_ns > loading.hurry_ns:
            loading.hurry_ns = now_ns + _PATIENCE_NS
            loading.is_in_hurry = True
            for stage in self._pool.standby:
                self._supervisor.hurry(stage.name)
        # Caches and memory have no priorities: beside scoring on the same processors it stands still.
        serving = [stage.ready for stage in self._pool.serving if stage.ready is not None]
        is_beside = not any(ready.device.startswith("cuda") for ready in serving)
        still = is_beside and self._batching.scoring > 0 and not loading.is_in_hurry
        for stage in self._pool.standby:
            self._supervisor.stand_still(stage.name, still=still)

    def _change_sides(self, loading: _Loading, *, is_recording: bool) -> None:
        """Score by the processes that have loaded the recipe, unless something open still needs others."""
        pool, book = self._pool, self._book
        there = {bank.recipe for bank in pool.loaded(pool.standby)}
        if not book.in_force.keys <= there:
            self.fail(RecipeRefusalReason.FAILED, f"{book.in_force.name} was put in force meanwhile")
            return
        if not loading.recipe.keys <= there:
            self.fail(RecipeRefusalReason.FAILED, "it finds no room beside the recipe in force")
            return
        leaving = [each for each in book.loaded if not each.keys <= there]
        if is_recording:
            return  # it may be one of them that is put in force
        if self._batching.open_recipes() & {key for each in leaving for key in each.keys}:
            if self._clock() > loading.use_ns:
                names = ", ".join(each.name for each in leaving)
                self.fail(
                    RecipeRefusalReason.FAILED, f"{names} would have to leave, and are in use all the time"
                )
            return
        for stage in pool.standby:
            number = pool.stages.index(stage)
            assert stage.ready is not None
            beside = pool.number_beside(number)
            self._batching.use_banks(number, stage.ready.banks, stage.ready.paces, beside)
            self._supervisor.stand_still(stage.name, still=False)
            self._supervisor.keep(stage.name)
            self._metrics.scoring_up(stage.name, up=True)
        before = pool.serving
        pool.swap()
        for stage in before:
            self._batching.close_lane(pool.stages.index(stage))
            self._supervisor.finish(stage.name)
        self._retiring = [stage for stage in before if self._supervisor.running(stage.name)]
        for stage in before:
            if stage not in self._retiring:
                self._metrics.scoring_gone(stage.name)
        for each in leaving:
            book.remove(each)
        book.add(loading.recipe)
        self._loading = None
        self._on_banks_changed()
        gone = f"; no longer prepared: {', '.join(each.name for each in leaving)}" if leaving else ""
        self._emit("info", "recipe_prepared", detail=f"{loading.recipe.name} ({loading.request}){gone}")

    def _retire(self, stage: ScoringStage) -> None:
        self._retiring.remove(stage)
        stage.let_go()
        self._metrics.scoring_gone(stage.name)

    def fail(self, reason: RecipeRefusalReason, detail: str) -> None:
        """End the preparation of the recipe that is being loaded; the line goes on as it was."""
        assert self._loading is not None
        loading, self._loading = self._loading, None
        self._stop(self._pool.standby)
        self._metrics.recipe_request(RecipeAction.PREPARE, reason)
        text = f"{loading.recipe.name} ({loading.request}): {reason}: {detail}"
        self.last_failure = f"{reason}: {detail}"
        self._emit("warning", "recipe_failed", detail=text[:MAX_DETAIL_CHARACTERS])

    def _stop(self, stages: Iterable[ScoringStage]) -> None:
        for stage in stages:
            self._supervisor.stop(stage.name)
            stage.let_go()
