"""Routes of the line as it is, and of what a person asks it for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inspectd import __version__
from inspectd.client import RecipeAction
from inspectd.errors import InputError, UnavailableError
from inspectd.page.accounts.roles import Act
from inspectd.page.answers import ApiError, json_answer
from inspectd.page.disk_desk import DiskDesk
from inspectd.page.guard import Account, Guard
from inspectd.page.line.asking import LineAsker, RefusedError
from inspectd.page.line.orders import Order, OrderFile, OtherOrderError
from inspectd.page.live.hub import LiveHub
from inspectd.page.settings import PageConfig
from inspectd.page.told import ToldLineFacts, ToldShift
from inspectd.page.told_pages import (
    RecipeWord,
    ToldBack,
    ToldGoldenCheck,
    ToldGoldenFacts,
    ToldRecipe,
    ToldRecipeList,
    ToldShadow,
)
from inspectd.recipes.audit import BEGUN, DONE, FILE_NAME
from inspectd.recipes.reading import ListedVersion, RecipeReader
from inspectd.recipes.stored import WentBackError, recipe_before
from inspectd.shifts import shifts_around_ms
from inspectd.text import printable
from inspectd.wire.golden import GoldenAction
from inspectd.wire.shadow import ShadowStatus

_AT_A_TIME: Final = 4
_CHECK_SECONDS: Final = 0.5
"""Whoever looks within it gets the same answer: tabs together ask the line no more often."""

_RECIPE_ACTS: Final = {
    Act.RECIPE_PREPARE: RecipeAction.PREPARE,
    Act.RECIPE_UNPREPARE: RecipeAction.UNPREPARE,
    Act.RECIPE_ACTIVATE: RecipeAction.ACTIVATE,
    Act.RECIPE_SHADOW: RecipeAction.SHADOW,
    Act.RECIPE_UNSHADOW: RecipeAction.UNSHADOW,
    Act.RECIPE_PROMOTE: RecipeAction.PROMOTE,
}
"""What a person can have done with a recipe, and what the line is asked for; a rollback may take two."""

_Answer = TypeVar("_Answer")

_Recipe = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")]
_Reason = Annotated[str, Meta(max_length=150)]
_OrderName = Annotated[str, Meta(min_length=1, max_length=64)]


class RecipeAct(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done with which recipe."""

    recipe: _Recipe
    version: Annotated[int, Meta(ge=0, le=2**31)] | None = None
    reason: _Reason = ""


class RecipeBack(RecipeAct, forbid_unknown_fields=True):
    """What is to be in force again.

    Attributes:
        loads: where it is not loaded the line is to load it, and it is not put in force yet.
    """

    loads: bool = False


class GoldenBegin(msgspec.Struct, forbid_unknown_fields=True):
    """A check of a recipe; without one of the only one that has golden parts."""

    recipe: _Recipe | None = None
    reason: _Reason = ""


class GoldenShow(msgspec.Struct, forbid_unknown_fields=True):
    """The golden part that lies before the cameras."""

    part: _Recipe
    reason: _Reason = ""


class NoMore(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing but a reason."""

    reason: _Reason = ""


class OrderBegin(msgspec.Struct, forbid_unknown_fields=True):
    """A new order, and the name of the one that ends with it; without one none may be under way."""

    order: _OrderName
    instead_of: _OrderName | None = None
    reason: _Reason = ""


class OrderEnd(msgspec.Struct, forbid_unknown_fields=True):
    """The order that is to end."""

    order: _OrderName
    reason: _Reason = ""


class LineRoutes:
    """The line, and acts on it.

    Args:
        settings: the page's.
        guard: who may.
        hub: the line as it is.
        asker: asks the line.
        orders: the order under way.
        counts: where acts are counted.
    """

    def __init__(
        self, settings: PageConfig, guard: Guard, *, hub: LiveHub, asker: LineAsker, orders: OrderFile,
        counts: Counter[tuple[str, str]],
    ) -> None:  # fmt: skip
        self._settings, self._guard, self._hub = settings, guard, hub
        self._asker, self._orders, self._counts = asker, orders, counts
        # The line is asked by few at a time: who waits for it must not take every thread of the page.
        self._limiter = CapacityLimiter(_AT_A_TIME)
        self._disk = DiskDesk("recipes")
        self._check: asyncio.Future[tuple[ToldGoldenCheck | None, str, str | None]] | None = None
        self._check_at = float("-inf")

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/api/line", self.say_line, methods=["GET"]),
            Route("/api/recipes", self.list_recipes, methods=["GET"]),
            Route("/api/golden", self.say_golden, methods=["GET"]),
            *(self._recipe_route(act, action) for act, action in _RECIPE_ACTS.items()),
            Route("/api/acts/recipe_rollback", self.take_back_recipe, methods=["POST"]),
            Route("/api/acts/golden_begin", self.begin_golden, methods=["POST"]),
            Route("/api/acts/golden_show", self.show_golden, methods=["POST"]),
            Route("/api/acts/golden_end", self.end_golden, methods=["POST"]),
            Route("/api/acts/order_begin", self.begin_order, methods=["POST"]),
            Route("/api/acts/order_end", self.end_order, methods=["POST"]),
        ]

    # --- looking ------------------------------------------------------------------------------------------

    async def say_line(self, request: Request) -> Response:
        """What does not change from second to second."""
        await self._guard.allow(request, Act.VIEW)
        view, line, hub = self._settings.view, self._settings.line, self._hub.line
        status = hub.status
        regions: dict[str, list[str]] = {name: [] for name in hub.cameras}
        for each in status.cameras if status else []:
            if each.region is not None:
                regions.setdefault(each.camera, []).append(each.region)
        told: ToldLineFacts = {
            "plant": line.plant,
            "line": line.name,
            "zone": view.zone,
            "now_ms": self._hub.clock_ms(),
            "version": __version__,
            "line_version": status.software if status else None,
            "cameras": [{"name": name, "regions": found} for name, found in sorted(regions.items())],
            "recipes": [{"name": each.recipe, "threshold": each.threshold} for each in status.recipes]
            if status
            else [],
            "in_force": status.in_force if status else None,
            "in_force_number": status.in_force_number if status else None,
            "shifts": self._shifts(),
            "takt_target_ms": None
            if view.takt_target_seconds is None
            else round(view.takt_target_seconds * 1000),
            "has_evidence": line.evidence_dir is not None,
            "has_teaching": line.teach_socket is not None,
        }
        return json_answer(told)

    def _shifts(self) -> list[ToldShift]:
        starts, zone = self._settings.view.shift_starts, self._settings.zone
        return [{"from_ms": at} for at in shifts_around_ms(self._hub.clock_ms(), starts, zone)]

    async def list_recipes(self, request: Request) -> Response:
        """Every recipe there is to choose, and what is loaded and in force."""
        await self._guard.allow(request, Act.VIEW)
        status, folder = self._hub.line.status, self._settings.line.recipes_dir
        listed: list[ListedVersion] = []
        if folder is not None:
            listed = await self._disk.ask(RecipeReader(Path(folder)).listing)
        back = await self._back()
        loaded: dict[str, RecipeWord] = {}
        if status is not None:
            loaded |= dict.fromkeys(status.prepared, "prepared")
            loaded[status.in_force] = "in_force"
            if status.shadow is not None:
                loaded.setdefault(status.shadow.recipe, "shadow")
        rows = [_shown_recipe(each, loaded.pop(f"{each.id}@{each.version}", None)) for each in listed]
        rows += [_loaded_recipe(name, state) for name, state in loaded.items()]
        told: ToldRecipeList = {
            "recipes": rows,
            "in_force": status.in_force if status else None,
            "in_force_number": status.in_force_number if status else None,
            "prepared": status.prepared if status else [],
            "shadow": status.shadow.recipe if status and status.shadow else None,
            "has_store": folder is not None,
            "compared": None if status is None or status.shadow is None else _shown_shadow(status.shadow),
            "back_to": back[0],
            "went_back": back[1],
            "is_current": status is not None and self._hub.line.is_alive,
        }
        return json_answer(told)

    async def say_golden(self, request: Request) -> Response:
        """Which checks are due, and how the one under way stands."""
        account = await self._guard.allow(request, Act.VIEW)
        is_old = time.monotonic() - self._check_at > _CHECK_SECONDS
        # All who look while the line is asked wait for that answer: a line that is silent is asked once at a
        # time, however many look, and nobody is given what was so before.
        if self._check is None or (self._check.done() and is_old):
            self._check_at = time.monotonic()
            self._check = asyncio.ensure_future(self._ask_check(account))
        check, what, problem = await asyncio.shield(self._check)
        _, state = self._hub.state()
        told: ToldGoldenFacts = {
            "recipes": state["golden"], "check": check, "what": what, "problem": problem
        }  # fmt: skip
        return json_answer(told)

    async def _ask_check(self, account: Account) -> tuple[ToldGoldenCheck | None, str, str | None]:
        """How the check stands, or why that is not known: in one word, and in a sentence."""
        try:
            found = await self._asked(lambda: self._asker.ask_golden(GoldenAction.STATUS, account.name))
        except RefusedError as error:
            return None, error.reason, error.detail if error.reason != "off" else None
        except UnavailableError as error:
            return None, "unavailable", str(error)
        return found, "", None

    # --- acts ---------------------------------------------------------------------------------------------

    async def take_back_recipe(self, request: Request) -> Response:
        """Put what was in force before in force again, or have it loaded for that."""
        account, wanted = await self._guard.take(request, Act.RECIPE_ROLLBACK, RecipeBack)
        try:
            return await self._ask_recipe(account, Act.RECIPE_ROLLBACK, RecipeAction.ROLLBACK, wanted)
        except ApiError as error:
            if error.what != "not_prepared" or not wanted.loads or not await self._is_before(wanted):
                raise
        # After a restart the line has loaded what is in force alone. Nobody prepares anything else this way.
        return await self._ask_recipe(account, Act.RECIPE_PREPARE, RecipeAction.PREPARE, wanted)

    async def _is_before(self, wanted: RecipeAct) -> bool:
        back, _ = await self._back()
        return back == {"recipe": wanted.recipe, "version": wanted.version}

    async def _back(self) -> tuple[ToldBack | None, bool]:
        """What a rollback leads to, and whether it leads nowhere after another one."""
        folder = self._settings.line.recipes_dir
        if folder is None:
            return None, False
        return await self._disk.ask(lambda: _back_to(Path(folder).parent / FILE_NAME))

    def _recipe_route(self, act: Act, action: RecipeAction) -> Route:
        async def do(request: Request) -> Response:
            account, wanted = await self._guard.take(request, act, RecipeAct)
            return await self._ask_recipe(account, act, action, wanted)

        return Route(f"/api/acts/{act}", do, methods=["POST"])

    async def _ask_recipe(
        self, account: Account, act: Act, action: RecipeAction, wanted: RecipeAct
    ) -> Response:
        version = "" if wanted.version is None else f"@{wanted.version}"
        return await self._do(
            account, act, f"{wanted.recipe}{version}", wanted.reason,
            lambda: self._asker.ask_recipe(
                action, wanted.recipe, wanted.version, account.name, printable(wanted.reason)
            ),
        )  # fmt: skip

    async def begin_golden(self, request: Request) -> Response:
        """Begin a check with golden parts."""
        account, wanted = await self._guard.take(request, Act.GOLDEN_BEGIN, GoldenBegin)
        return await self._do(
            account, Act.GOLDEN_BEGIN, f"begin {wanted.recipe or ''}".strip(), wanted.reason,
            lambda: self._asker.ask_golden(GoldenAction.BEGIN, account.name, recipe=wanted.recipe),
        )  # fmt: skip

    async def show_golden(self, request: Request) -> Response:
        """Say that a golden part lies before the cameras."""
        account, wanted = await self._guard.take(request, Act.GOLDEN_SHOW, GoldenShow)
        return await self._do(
            account, Act.GOLDEN_SHOW, f"show {wanted.part}", wanted.reason,
            lambda: self._asker.ask_golden(GoldenAction.SHOW, account.name, part=wanted.part),
        )  # fmt: skip

    async def end_golden(self, request: Request) -> Response:
        """End the check under way."""
        account, wanted = await self._guard.take(request, Act.GOLDEN_END, NoMore)
        return await self._do(
            account, Act.GOLDEN_END, "end", wanted.reason,
            lambda: self._asker.ask_golden(GoldenAction.END, account.name),
        )  # fmt: skip

    async def begin_order(self, request: Request) -> Response:
        """Count parts anew, under the order's name."""
        account, wanted = await self._guard.take(request, Act.ORDER, OrderBegin)
        order = Order(printable(wanted.order)[:64], self._hub.line.judged_ms())
        return await self._set_order(account, order, wanted.instead_of, wanted.reason)

    async def end_order(self, request: Request) -> Response:
        """Count for no order any more."""
        account, wanted = await self._guard.take(request, Act.ORDER, OrderEnd)
        return await self._set_order(account, None, wanted.order, wanted.reason)

    async def _set_order(
        self, account: Account, order: Order | None, instead_of: str | None, reason: str
    ) -> Response:
        """Change the order between two records.

        Raises:
            ApiError: another one is under way.
            UnavailableError: it cannot be written down.
        """
        new = order.name if order else None

        async def record(result: str) -> None:
            await self._guard.record(account, Act.ORDER, old=instead_of, new=new, why=reason, result=result)

        await record(BEGUN)
        try:
            await self._guard.write(self._orders.set, order, instead_of)
        except (OtherOrderError, UnavailableError) as error:
            self._counts["acts", "refused"] += 1
            await record(f"refused: {error}")
            if isinstance(error, UnavailableError):
                raise
            raise ApiError(409, "other_order", str(error)) from error
        await record(DONE)
        self._counts["acts", "done"] += 1
        return json_answer({"ok": True, "answer": None})

    async def _do(
        self, account: Account, act: Act, about: str, reason: str, ask: Callable[[], Any]
    ) -> Response:
        """Ask the line between two records, so that nothing is done that has none.

        Raises:
            ApiError: the line refuses, or does not answer.
        """
        await self._guard.record(account, act, about=about, why=reason, result=BEGUN)
        try:
            answer = await self._asked(ask)
        except RefusedError as error:
            await self._guard.record_end(
                account, act, about, reason, f"refused: {error.reason}: {error.detail}"
            )
            raise ApiError(409, error.reason, error.detail) from error
        except (UnavailableError, InputError) as error:
            await self._guard.record_end(account, act, about, reason, f"not known: {error}")
            raise ApiError(503, "unavailable", str(error)) from error
        await self._guard.record_end(account, act, about, reason, "done")
        return json_answer({"ok": True, "answer": answer})

    async def _asked(self, ask: Callable[[], _Answer]) -> _Answer:
        return await to_thread.run_sync(ask, limiter=self._limiter)


def _back_to(audit: Path) -> tuple[ToldBack | None, bool]:
    """What a rollback leads to by the line's audit file, and whether it leads nowhere after another one."""
    try:
        before = recipe_before(audit)
    except WentBackError:
        return None, True
    except (InputError, UnavailableError):  # nobody can know; the line says why to who asks it
        return None, False
    return {"recipe": before.id, "version": before.version}, False


def _shown_recipe(listed: ListedVersion, state: RecipeWord | None) -> ToldRecipe:
    recipe = listed.recipe
    return {
        "name": listed.id,
        "version": listed.version,
        "state": state,
        "problem": listed.problem,
        "number": recipe.number if recipe else None,
        "cameras": sorted(recipe.cameras) if recipe else [],
        "who": recipe.who if recipe else None,
        "why": recipe.why if recipe else None,
        "created_ms": recipe.created_utc_ns // 1_000_000 if recipe else None,
    }


def _shown_shadow(shadow: ShadowStatus) -> ToldShadow:
    return {
        "recipe": shadow.recipe, "against": shadow.against, "state": shadow.state, "detail": shadow.detail,
        "since_ms": shadow.since_utc_ns // 1_000_000, "frames": shadow.frames,
        "to_fail": shadow.to_fail, "to_pass": shadow.to_pass, "unjudged": shadow.unjudged,
    }  # fmt: skip


def _loaded_recipe(name: str, state: RecipeWord) -> ToldRecipe:
    """A recipe that the line has loaded and no store lists, such as that of its configuration file."""
    identifier, _, version = name.partition("@")
    return {
        "name": identifier,
        "version": int(version) if version.isascii() and version.isdigit() else 0, "state": state,
        "problem": None, "number": None, "cameras": [], "who": None, "why": None, "created_ms": None,
    }  # fmt: skip
