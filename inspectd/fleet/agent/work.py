"""What an agent does with orders: accepts or refuses them, and has its line carry out the one in force.

Nothing comes to the line but what two of its trusted people signed, byte for byte, and nothing is put in
force but by the line itself. What fails is tried again, or left where that can never work; the line goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from inspectd import log
from inspectd.errors import UnavailableError
from inspectd.fleet.agent import fetch
from inspectd.fleet.agent.line_side import WHO, LineDesk
from inspectd.fleet.agent.metrics import AgentMetrics, Attempt
from inspectd.fleet.agent.order import (
    FleetOrder,
    OrderedRecipe,
    Refusal,
    RefusedOrderError,
    SignedOrder,
    decode_signed,
    refuse_late,
    refuse_old,
    refuse_other_line,
)
from inspectd.fleet.agent.report import AgentState
from inspectd.fleet.agent.settings import AgentConfig
from inspectd.fleet.agent.signing import verified
from inspectd.fleet.agent.state import AcceptedOrder, GivenUp, StateFolder, Told
from inspectd.fleet.agent.store_side import LineStore, StoredVersion, StoreLook
from inspectd.fleet.names import PlantNames
from inspectd.fleet.servers import Servers, ServersError
from inspectd.wire.sync import LineStatus

_LOOK_AGAIN_SECONDS: Final = 300.0
"""A line that shows no change is believed so long to have the store that it had."""

_MOST_DETAIL: Final = 1000
"""Characters of why an order was given up, as they are kept."""

_log: Final = logging.getLogger(__name__)


class Outlook:
    """What the agent shows of itself: its state, why, and what it saw last."""

    def __init__(self, metrics: AgentMetrics, changed: Callable[[], None]) -> None:
        self.state, self.why = AgentState.UNKNOWN, "the agent has just started"
        self.progress: float | None = None
        self.status: LineStatus | None = None
        """Of the line, when it was asked last; None: it gave no answer."""
        self._metrics, self._changed = metrics, changed

    def now(self, state: AgentState, why: str = "") -> None:
        """The agent is in this state."""
        if (state, why) == (self.state, self.why):
            return
        if state is not self.state:
            log.event(_log, logging.INFO, "state", state=state, why=why)
        self.state, self.why = state, why
        self.progress = None
        self._metrics.is_in(state)
        self._changed()

    def fetched(self, here: int, total: int) -> None:
        """So many chunks are here."""
        self.progress = here / total
        self._changed()

    def saw(self, status: LineStatus | None) -> None:
        """The line answered, or did not."""
        before = self.status.in_force if self.status is not None else None
        self.status = status
        if before != (status.in_force if status is not None else None):
            self._changed()


class OrderBook:
    """Orders as they come: the one that was accepted last, and what became of the newest.

    Args:
        settings: the agent's.
        folder: where the accepted one is kept.
        metrics: where refusals are counted.
        clock_ns: ns since 1970.

    Raises:
        InputError: what is kept is damaged.
    """

    def __init__(
        self, settings: AgentConfig, folder: StateFolder, metrics: AgentMetrics, clock_ns: Callable[[], int]
    ) -> None:
        self.kept: AcceptedOrder = folder.read()
        self.order: FleetOrder | None = None
        """The order that was accepted last, while its signatures are good by today's list of people."""
        self.by: list[str] = []
        """Who signed it."""
        self.newest_sha256: str | None = None
        """Names the newest entry."""
        self.refusal = ""
        """Why that will not be used; empty: it is used."""
        self.not_kept = ""
        """Why the newest entry cannot be accepted yet; empty: it was looked at."""
        self._settings, self._folder, self._metrics, self._clock_ns = settings, folder, metrics, clock_ns
        self._newest: tuple[Told, bytes] | None = None
        self._told = Told(self.kept.told, self.kept.told_utc_ns)
        """The last entry that was the accepted order."""
        self._late: str | None = None
        """Names the newest entry, where it is too late by a clock that may be set: it is looked at again."""
        metrics.wanted(self.kept.serial)
        if self.kept.order is not None:
            try:
                self._follow(*self._trusted(self.kept.order), self.kept.order.sha256)
            except RefusedOrderError as error:
                self._refuse(self.kept.order.sha256, error)

    def take(self, data: bytes, told: Told) -> bool:
        """Look at the newest entry for this line; whether an order is to be carried out that was not before.

        It is a new one, which is accepted now, or one that was given up and is told again. One that cannot be
        kept, as on a full disk, is not accepted yet: `not_kept` says why.

        Args:
            data: the entry.
            told: which entry of the servers' stream it is: the same text in a later one was told again.
        """
        if (told, data) == self._newest:
            self.not_kept = ""  # another one came in between, and is the newest no more
            return False
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            signed = decode_signed(data)
            sha256 = signed.sha256
            order, by = self._trusted(signed)
            if self.kept.order is None or signed.text != self.kept.order.text:
                refuse_old(order, last_serial=self.kept.serial, utc_ns=self._clock_ns())
                fetch.refuse_large(order.recipe, self._settings.fleet.max_mb)
                self._accept(order, by, signed, told)
                is_new = True
            else:
                is_new = self._is_to_be_tried(order, told)
        except RefusedOrderError as error:
            self.not_kept = ""
            if error.refusal is not Refusal.TOO_LATE:
                self._newest, self._late = (told, data), None
            elif sha256 != self._late:
                self._newest, self._late = None, sha256
            else:
                return False
            self._refuse(sha256, error)
            return False
        except UnavailableError as error:
            not_kept = f"an order came and cannot be accepted yet: {error}"
            if not_kept != self.not_kept:
                log.event(_log, logging.ERROR, "not_kept", order=sha256[:12], detail=str(error))
            self.not_kept = not_kept
            return False
        self.not_kept = ""
        self._newest = told, data
        self._follow(order, by, sha256)
        return is_new

    @property
    def sha256(self) -> str:
        """Names the order that was accepted last; empty: none was."""
        return self.kept.order.sha256 if self.kept.order is not None else ""

    def done(self, order: FleetOrder, version: int) -> None:
        """The line has put the order's recipe in force, as this version of its store.

        Raises:
            UnavailableError: that cannot be kept; it will be asked again.
        """
        if self.order == order:
            self._keep(msgspec.structs.replace(self.kept, is_done=True, version=version))

    def give_up(self, order: FleetOrder, error: RefusedOrderError) -> None:
        """Nothing can come of this order, also after a new start, until it is told again; another one may.

        One whose time is over by a clock that may be set is looked at again once that is right.

        Raises:
            UnavailableError: that cannot be kept; the order is tried again.
        """
        if self.order != order or self.kept.order is None:
            return
        sha256 = self.kept.order.sha256
        if error.refusal is Refusal.TOO_LATE:
            self._newest, self._late = None, sha256
        else:
            given_up = GivenUp(error.refusal, str(error)[:_MOST_DETAIL])
            told, told_utc_ns = self._told
            self._keep(
                msgspec.structs.replace(self.kept, given_up=given_up, told=told, told_utc_ns=told_utc_ns)
            )
        self.order = None
        self._refuse(sha256, error)

    def _trusted(self, signed: SignedOrder) -> tuple[FleetOrder, list[str]]:
        """The order, and who signed it: good signatures, for this line. What is kept may be another line's.

        Raises:
            RefusedOrderError: it is not.
        """
        order, by = verified(signed, self._settings.people)
        refuse_other_line(order, plant=self._settings.line.plant, line=self._settings.line.name)
        return order, by

    def _is_to_be_tried(self, order: FleetOrder, told: Told) -> bool:
        """The newest entry is the order that was accepted last: whether it is tried now, and was not before.

        Raises:
            RefusedOrderError: its time is over.
            UnavailableError: that it is tried again cannot be kept.
        """
        is_told_again = told.is_after(self._told)
        if self.kept.given_up is not None and not is_told_again:
            return False
        if self.order is None and not self.kept.is_done:
            refuse_late(order, self._clock_ns())
        if self.kept.given_up is not None:
            self._keep(msgspec.structs.replace(self.kept, given_up=None, told=0, told_utc_ns=0))
        if is_told_again:
            self._told = told
        return self.order is None

    def _accept(self, order: FleetOrder, by: list[str], signed: SignedOrder, told: Told) -> None:
        self._keep(AcceptedOrder(order.serial, signed))
        self._told = told
        self._metrics.wanted(order.serial)
        log.event(
            _log, logging.INFO, "accepted", serial=order.serial, recipe=str(order.recipe), by=", ".join(by),
            why=order.why,
        )  # fmt: skip

    def _follow(self, order: FleetOrder, by: list[str], sha256: str) -> None:
        """The order that was accepted last is the newest entry, as far as is known."""
        given_up = self.kept.given_up
        self.order, self.by = order if given_up is None else None, by
        self.newest_sha256 = sha256
        self.refusal = "" if given_up is None else _refusal(sha256, given_up.detail)

    def _keep(self, kept: AcceptedOrder) -> None:
        self._folder.write(kept)
        self.kept = kept

    def _refuse(self, sha256: str, error: RefusedOrderError) -> None:
        self.newest_sha256 = sha256
        self.refusal = _refusal(sha256, str(error))
        self._metrics.refused(error.refusal)
        log.event(_log, logging.ERROR, "refused", why=error.refusal, order=sha256[:12], detail=str(error))


def _refusal(sha256: str, detail: str) -> str:
    return f"the order {sha256[:12]} {detail}"


class OrderWork:
    """Has the line carry out the order that was accepted last.

    Args:
        settings: the agent's.
        book: has the order.
        folder: where archives are fetched to.
        desk: asks the line.
        metrics: where attempts are counted.
        outlook: is told how it goes.
        clock_ns: ns since 1970.
    """

    def __init__(
        self,
        settings: AgentConfig,
        *,
        book: OrderBook,
        folder: StateFolder,
        desk: LineDesk,
        metrics: AgentMetrics,
        outlook: Outlook,
        clock_ns: Callable[[], int],
    ) -> None:
        self.servers: Servers | None = None
        """The connection, while there is one."""
        self._settings, self._book, self._folder, self._desk = settings, book, folder, desk
        self._metrics, self._outlook, self._clock_ns = metrics, outlook, clock_ns
        self._store = LineStore(Path(settings.fleet.line_file))
        self._names = PlantNames(settings.line.plant)
        self._look: tuple[object, float, StoreLook] | None = None
        """What the line showed when its store was looked at, when that was, and what was there."""

    async def once(self) -> bool:
        """One attempt; whether there is nothing to be tried again soon.

        Raises:
            InputError: an endpoint or a key cannot be used.
        """
        outlook = self._outlook
        try:
            status = await self._desk.status()
        except UnavailableError as error:
            outlook.saw(None)
            outlook.now(AgentState.UNKNOWN, f"the line gives no answer: {error}")
            return False
        outlook.saw(status)
        order, sha256 = self._book.order, self._book.sha256  # as they are now
        if self._book.not_kept:
            outlook.now(AgentState.WAITING, self._book.not_kept)
            return False
        if order is None or (self._book.kept.is_done and self._book.refusal):
            self._rest(status)
            return True
        if self._book.kept.is_done:
            return await self._look_after(order, sha256, status)
        if (wait_ns := order.not_before_utc_ns - self._clock_ns()) > 0:
            outlook.now(AgentState.WAITING, f"order {order.serial} begins later")
            return wait_ns > 60_000_000_000
        return await self._attempt(order, sha256)

    def _rest(self, status: LineStatus) -> None:
        """There is nothing to do: say how it stands."""
        if self._book.refusal:
            self._outlook.now(
                AgentState.REFUSED, f"{self._book.refusal}; the line goes on by {status.in_force}"
            )
        else:
            self._outlook.now(AgentState.IDLE)

    async def _look_after(self, order: FleetOrder, sha256: str, status: LineStatus) -> bool:
        """An order was carried out: say whether its recipe judges still; whether nothing is to be tried soon.

        A line whose store and records were made anew, so that nobody chose what it runs, carries it
        out again.
        """
        carried_out = f"order {order.serial} put {order.recipe.id}@{self._book.kept.version} in force"
        try:
            look = await self._looked(order.recipe, status)
        except RefusedOrderError as error:
            self._say(sha256, AgentState.HELD, f"{carried_out}; now the order {error}")
            return True
        except UnavailableError as error:
            self._say(
                sha256, AgentState.WAITING, f"{carried_out}; whether it still is, is not known: {error}"
            )
            return False
        if look.is_line_new and status.in_force.partition("@")[0] == "file":
            has = "no longer has" if look.version is None else "has"
            log.event(
                _log, logging.WARNING, "carried_out_again", serial=order.serial, recipe=str(order.recipe),
                why=f"{carried_out}; the line's records are new, and its store {has} the recipe",
            )  # fmt: skip
            return await self._attempt(order, sha256)
        self._say(sha256, *self._stands(order, status, look, carried_out))
        return True

    def _say(self, sha256: str, state: AgentState, why: str) -> None:
        """How it stands with an order that was carried out, unless a newer one was accepted meanwhile.

        Reports name the newest, and a rollout would take what the line runs by the one before for it.
        """
        if sha256 == self._book.sha256:
            self._outlook.now(state, why)

    async def _looked(self, recipe: OrderedRecipe, status: LineStatus) -> StoreLook:
        """What the line's store has of the recipe; asked again when the line has changed, and now and then.

        Raises:
            RefusedOrderError, UnavailableError: as `LineStore.look`.
        """
        now, kept = asyncio.get_running_loop().time(), self._book.kept
        banks = {each.recipe: each.bank_sha256 for each in status.recipes}
        seen = (kept.serial, kept.version, status.epoch, status.started_utc_ns, status.in_force, banks)
        if self._look is None or self._look[0] != seen or now > self._look[1] + _LOOK_AGAIN_SECONDS:
            if self._look is not None and self._look[0] != seen and self._outlook.state is AgentState.RUNNING:
                # A store may take minutes to answer, and that the recipe judges is of before the change.
                self._outlook.now(AgentState.WAITING, "the line has changed; its store is looked at")
            self._look = None
            look = await self._store.look(recipe, kept.version)
            if look.is_line_new:  # what a person puts in force meanwhile does not show otherwise
                return look
            self._look = seen, now, look
        return self._look[2]

    def _stands(
        self, order: FleetOrder, status: LineStatus, look: StoreLook, carried_out: str
    ) -> tuple[AgentState, str]:
        """Whether the line judges by what the order wants: by the very recipe, and not by its name."""
        recipe, version = order.recipe, self._book.kept.version
        there = f"has that as {recipe.id}@{look.version}" if look.version is not None else "does not have it"
        if look.version is not None and status.in_force == f"{recipe.id}@{look.version}":
            other = _other_bank(recipe, status)
            if not other:
                return AgentState.RUNNING, ""
            what = f"the line judges {other}"
        elif status.in_force == f"{recipe.id}@{version}":
            content = look.content_sha256
            stored = "damaged, or gone" if content is None else f"another recipe, content {content[:12]}"
            what = (
                f"{recipe.id}@{version} in the line's store is {stored}; the order's has content "
                f"{recipe.content_sha256[:12]}, and the store {there}"
            )
        elif look.version is None:
            what = f"the line's store no longer has that recipe; the line goes on by {status.in_force}"
        else:
            what = f"somebody put {status.in_force} in its place since"
        return AgentState.HELD, f"{carried_out}, and {what}: a new order is needed to change that"

    async def _attempt(self, order: FleetOrder, sha256: str) -> bool:
        try:
            # What is kept may lack that it was done: the disk was full, or the agent killed just then. It is
            # asked first: what was taken out of the store since must not come there again.
            mark = f"order {order.serial} ({sha256[:12]}) by "
            version = await self._store.put_in_force_as(mark)
            if version is None:
                version = await self._put_in_force(order, mark)
            self._book.done(order, version)
        except RefusedOrderError as error:
            return self._gives_up(order, error)
        except (UnavailableError, ServersError) as error:
            return self._waits(str(error))
        self._metrics.attempted(Attempt.DONE)
        log.event(_log, logging.INFO, "in_force", serial=order.serial, recipe=f"{order.recipe.id}@{version}")
        return True

    async def _put_in_force(self, order: FleetOrder, mark: str) -> int:
        """Have the line judge by the order's recipe; its version in the line's store.

        Raises:
            RefusedOrderError: nothing can come of the order.
            UnavailableError, ServersError: something is in the way that may go.
        """
        stored = await self._store.version_of(order.recipe)
        if stored is None:
            self._refuse_late(order)
            stored = await self._brought(order)
        self._outlook.now(AgentState.ACTIVATING, f"{order.recipe.id}@{stored.version}")
        self._refuse_late(order)
        why = f"{mark}{' and '.join(self._book.by)}: {order.why}"
        await self._desk.put_in_force(order.recipe.id, stored, why)
        return stored.version

    def _gives_up(self, order: FleetOrder, error: RefusedOrderError) -> bool:
        try:
            self._book.give_up(order, error)
        except UnavailableError as not_kept:
            return self._waits(f"the order {error}; that it is given up cannot be kept: {not_kept}")
        self._metrics.attempted(Attempt.GIVEN_UP)
        return True

    def _waits(self, why: str) -> bool:
        self._metrics.attempted(Attempt.AGAIN)
        self._outlook.now(AgentState.WAITING, why)
        return False

    def _refuse_late(self, order: FleetOrder) -> None:
        """Refuse to begin with an order after its time; what a line ran and lost it is brought at any time.

        Raises:
            RefusedOrderError: its time is over.
        """
        if not self._book.kept.is_done:
            refuse_late(order, self._clock_ns())

    async def _brought(self, order: FleetOrder) -> StoredVersion:
        """Fetch the order's archive, and hand it to the line's store; the version that this made."""
        recipe = order.recipe
        place = self._folder.fetched(recipe.archive_sha256)
        if self.servers is None:
            raise ServersError("the plant's servers are away")
        self._outlook.now(AgentState.FETCHING, str(recipe))
        line_free_bytes = self._outlook.status.disk_free_bytes if self._outlook.status is not None else None
        fetch.need_room(recipe, place, self._settings.fleet.min_free_mb, line_free_bytes)
        await fetch.fetch(self.servers, self._names, recipe, place, self._outlook.fetched)
        self._outlook.now(AgentState.IMPORTING, str(recipe))
        why = f"order {order.serial}, signed by {' and '.join(self._book.by)}: {order.why}"
        stored = await self._store.bring(place, recipe, WHO, why)
        self._folder.drop(place)
        return stored


def _other_bank(recipe: OrderedRecipe, status: LineStatus) -> str:
    """The first camera that judges by another bank than the recipe's; empty: none is known to."""
    banks = {each.recipe: each.bank_sha256 for each in status.recipes}
    for camera in status.cameras:
        here, meant = banks.get(camera.recipe), recipe.bank_sha256.get(camera.place)
        if here is not None and meant is not None and here != meant:
            return f"{camera.place} by the bank {here[:12]}, expected {meant[:12]}"
    return ""
