"""Changeover: prepares recipes beside the one in force, and puts a prepared one in force between two parts.

How a recipe is loaded is in `recipe_loading`. To put it in force is one assignment in the main process, made
once the change is in the audit journal: that is what the next start goes by.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from inspectd.alarms import EmitEvent
from inspectd.config import Config
from inspectd.errors import InspectdError
from inspectd.meant_asker import MeantAsker
from inspectd.metrics import Metrics
from inspectd.recipe_loading import RecipeLoader
from inspectd.recipes.audit import AuditAction
from inspectd.recipes.book import FILE, LineRecipe, RecipeBook
from inspectd.recipes.clerk import DiskClerk, nothing
from inspectd.recipes.stored import (
    RECORD_NS,
    Change,
    NotBeforeError,
    NotStoredError,
    RecipeNotFoundError,
    RecipeRecords,
)
from inspectd.shadow import Shadow
from inspectd.text import MAX_DETAIL_CHARACTERS
from inspectd.wire import (
    LineState,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    RecipeState,
)

_GIVE_UP_NS: Final = RECORD_NS + 500_000_000
"""A change that is not in the audit journal by then is refused: whoever asked for it has given up. The clerk
takes it back where it gets there later than `RECORD_NS`."""
SIGNAL: Final = "signal"
"""Who had the configuration file read again, and by which door: whoever may send the daemon SIGHUP."""

Reply = Callable[[RecipeAck | RecipeRefusal], None]


class ChangeoverLine(Protocol):
    """The line whose recipes change."""

    state: LineState
    """As heartbeats give it."""

    def on_banks_changed(self) -> None:
        """Other recipes are loaded than before."""

    def on_recipe_in_force(self, recipe: LineRecipe, before: LineRecipe | None) -> None:
        """Parts are judged by this one from now on; until now by `before`, or the line starts."""


class _Recording(msgspec.Struct):
    """A change that is on its way to the audit journal."""

    request: RecipeRequest
    recipe: LineRecipe
    who: str
    door: str
    reply: Reply
    until_ns: int
    action: AuditAction
    is_to_judge: bool = True
    """Whether the recipe is in force then; not where it was, or where only the configuration file changed."""
    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
    is_given_up: bool = False
    """Who asked was told that nothing changes."""
    is_certain: bool = False
    """It is recorded and will count: from then on it cannot be given up."""

    def give_up(self) -> bool:
        """Whether nothing changes; called by the loop."""
        with self.lock:
            self.is_given_up = not self.is_certain
            return self.is_given_up

    def be_certain(self) -> bool:
        """Whether it may count; called by the clerk's thread."""
        with self.lock:
            self.is_certain = not self.is_given_up
            return self.is_certain


class Changeover:
    """Answers requests for recipes, and does what they ask for.

    Args:
        book: what is loaded and in force.
        loader: loads recipes beside those.
        shadow: scores without a vote.
        records: the recipe store and the audit journal, asked by `clerk` alone.
        clerk: asks the disk.
        line: is told of what changes.
        metrics: counts requests.
        emit: publishes events.
        clock: monotonic, in nanoseconds.
    """

    def __init__(
        self,
        book: RecipeBook,
        loader: RecipeLoader,
        shadow: Shadow,
        *,
        records: RecipeRecords,
        clerk: DiskClerk,
        line: ChangeoverLine,
        metrics: Metrics,
        emit: EmitEvent,
        clock: Callable[[], int],
    ) -> None:
        self._book = book
        self._loader = loader
        self._shadow = shadow
        self._records = records
        self._clerk = clerk
        self._line = line
        self._metrics = metrics
        self._emit = emit
        self._clock = clock
        self._meant = MeantAsker(book, records, clerk, emit, clock)
        self._is_reading = False
        self._is_changing_shadow = False
        self._recording: _Recording | None = None

    # --- requests --------------------------------------------------------------------------------------

    def take(self, request: RecipeRequest, who: str, door: str, reply: Reply) -> None:
        """See `RecipeEvents.on_recipe`."""
        if self._line.state != LineState.RUNNING:
            self._refuse(request, reply, RecipeRefusalReason.NOT_READY, f"the line is {self._line.state}")
        elif request.action is RecipeAction.PREPARE:
            self._prepare(request, reply)
        elif request.action is RecipeAction.UNPREPARE:
            self._unprepare(request, reply)
        elif request.action is RecipeAction.SHADOW:
            self._begin_shadow(request, who, door, reply)
        elif request.action is RecipeAction.UNSHADOW:
            self._end_shadow(request, who, door, reply)
        else:
            self._activate(request, who, door, reply)

    def refuse(
        self, request: RecipeRequest | None, reason: RecipeRefusalReason, detail: str, reply: Reply
    ) -> None:
        """See `RequestEvents.on_refused_recipe`."""
        self._refuse(request, reply, reason, detail)

    def _prepare(self, request: RecipeRequest, reply: Reply) -> None:
        if self.is_preparing:
            what = "another recipe" if self._loader.recipe is None else self._loader.recipe.name
            self._refuse(request, reply, RecipeRefusalReason.BUSY, f"{what} is being prepared; ask again")
            return
        loaded = self._find(request) if request.recipe == FILE and request.version is not None else None
        if loaded is not None:  # the store has none of the file's; of others it may have another one by now
            self._acknowledge(request, reply, loaded)
            return
        self._is_reading = True
        self._meant.ask_again()
        self._clerk.ask(
            partial(self._records.read, request.recipe, request.version),
            partial(self._on_read, request, reply),
            partial(self._on_unreadable, request, reply),
        )

    def _on_unreadable(self, request: RecipeRequest, reply: Reply, error: InspectdError) -> None:
        self._is_reading = False
        self._refuse(request, reply, _unreadable(error), str(error))

    def _on_read(self, request: RecipeRequest, reply: Reply, recipe: LineRecipe) -> None:
        """Load a recipe that the store has, unless it is loaded."""
        self._is_reading = False
        recipe = self._as_it_is_now(recipe)
        if request.version is None and not self._book.is_newest_meant(recipe.id):
            # Another one than until now where the store no longer holds that, or where nobody knew it here.
            self._book.mean(recipe)
        loaded = self._book.find(recipe.id, recipe.version)
        if loaded is not None and loaded.sha256 == recipe.sha256:
            self._acknowledge(request, reply, recipe)
        elif loaded is not None:
            detail = (
                f"{recipe.name} is loaded with sha256 {loaded.sha256[:12]}..., and the store has another one "
                f"under that name, {recipe.sha256[:12]}...; import it as a new version"
            )
            self._refuse(request, reply, RecipeRefusalReason.DAMAGED, detail)
        elif self._line.state != LineState.RUNNING:
            self._refuse(request, reply, RecipeRefusalReason.NOT_READY, f"the line is {self._line.state}")
        else:
            self._load(request, reply, recipe)

    def _load(self, request: RecipeRequest, reply: Reply, recipe: LineRecipe) -> None:
        """Have it loaded beside those that stay; it cannot be put in force before `book` has it."""
        try:
            self._loader.load(recipe, request.request)
        except InspectdError as error:  # no process can be had now
            self._refuse(request, reply, RecipeRefusalReason.NOT_READY, str(error))
        else:
            self._acknowledge(request, reply, recipe)

    def _activate(self, request: RecipeRequest, who: str, door: str, reply: Reply) -> None:
        recipe, old = self._find(request), self._book.in_force
        if recipe is None:
            loaded = ", ".join(map(_numbered, self._book.loaded))
            detail = (
                f"{_named(request)} is not prepared, or nobody can know which one it means, so name the "
                f"version; prepared are {loaded}"
            )
            self._refuse(request, reply, RecipeRefusalReason.NOT_PREPARED, detail)
        elif self._recording is not None:
            detail = f"{self._recording.recipe.name} is being put in force; ask again"
            self._refuse(request, reply, RecipeRefusalReason.BUSY, detail)
        elif request.action is RecipeAction.PROMOTE and recipe.name not in {old.name, self._shadow.name}:
            self._refuse_no_shadow(request, reply)
        else:
            recording = _Recording(
                request, recipe, who, door, reply, self._clock() + _GIVE_UP_NS, AuditAction(request.action),
                is_to_judge=recipe.name != old.name,
            )  # fmt: skip
            self._begin_recording(recording, old)

    def _unprepare(self, request: RecipeRequest, reply: Reply) -> None:
        recipe = self._find(request)
        loading = self._loader.recipe
        if recipe is None and loading is not None and _names(request, loading):
            self._loader.fail(RecipeRefusalReason.FAILED, "no longer wanted")
            self._acknowledge(request, reply, loading)
        elif recipe is None:
            self._refuse(
                request, reply, RecipeRefusalReason.NOT_PREPARED, f"{_named(request)} is not prepared"
            )
        elif recipe.name == self._book.in_force.name:
            detail = f"{recipe.name} is in force; activate another one first"
            self._refuse(request, reply, RecipeRefusalReason.IN_FORCE, detail)
        elif self._recording is not None and self._recording.recipe.name == recipe.name:
            detail = f"{recipe.name} is being put in force"
            self._refuse(request, reply, RecipeRefusalReason.BUSY, detail)
        else:
            self._book.remove(recipe)
            self._line.on_banks_changed()
            self._acknowledge(request, reply, recipe)

    def _find(self, request: RecipeRequest) -> LineRecipe | None:
        # Version 0 is the configuration file as it is now, however often it was read again.
        version = None if request.recipe == FILE and not request.version else request.version
        shadow = self._shadow.recipe
        is_of_shadow = version is None and shadow is not None and _names(request, shadow)
        if request.action is RecipeAction.PROMOTE and is_of_shadow and shadow is not None:
            version = shadow.version  # as a rule no version that ever was in force
        return self._book.find(request.recipe, version)

    # --- the configuration file is read again --------------------------------------------------------------

    @property
    def is_preparing(self) -> bool:
        """Whether a recipe is being prepared, so that no other one can be."""
        return self._is_reading or self._loader.is_busy

    @property
    def last_failure(self) -> str:
        """Why the last recipe could not be prepared, in words."""
        return self._loader.last_failure

    @property
    def is_recording(self) -> bool:
        """Whether a change is on its way to the audit journal, so that no other one can be."""
        return self._recording is not None

    def prepare_reloaded(self, recipe: LineRecipe, reply: Reply) -> None:
        """Load what the file makes now, while not `is_preparing`; `state_of` tells how it goes."""
        self._load(_of_reload(RecipeAction.PREPARE, recipe, ""), reply, recipe)

    def put_reloaded_in_force(self, old: LineRecipe, new: LineRecipe, why: str, reply: Reply) -> None:
        """Record, while not `is_recording`, that the file changed; where its recipes judge, `new` does then.

        Args:
            old: what the file made until now.
            new: what it makes, and loaded if `old` is in force; the same where only cameras changed.
            why: what changed, in words.
            reply: takes the answer.
        """
        request = _of_reload(RecipeAction.ACTIVATE, new, why)
        recording = _Recording(
            request, new, SIGNAL, SIGNAL, reply, self._clock() + _GIVE_UP_NS, AuditAction.RELOAD,
            is_to_judge=new is not old and self._book.in_force.name == old.name,
        )  # fmt: skip
        self._begin_recording(recording, old)

    def use_file(self, config: Config, recipe: LineRecipe) -> None:
        """The configuration file was read again, and `recipe` is what it makes now.

        What it made before is in nobody's hands from then on: a preparation of that ends, as failed, and a
        shadow of the file goes on by what that says now.
        """
        self._records.use_file(config, recipe)
        self._book.use_file(recipe)
        loading = self._loader.recipe
        if loading is not None and loading != self._as_it_is_now(loading):
            what = (
                "the configuration file was read again meanwhile, and says something else; prepare it again"
            )
            self._loader.fail(RecipeRefusalReason.FAILED, what)
        shadow = self._shadow.recipe
        if shadow is not None and shadow != self._as_it_is_now(shadow):
            self._go_on_by(shadow, "the file was read again")

    def _as_it_is_now(self, recipe: LineRecipe) -> LineRecipe:
        """A recipe; of the configuration file what that says now: it may have been read again meanwhile."""
        return self._records.file if recipe.is_file else recipe

    # --- the shadow ----------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on as the line was when it ended, but for a change of which it could tell nobody."""
        what = "which record is in force cannot be noted"
        self._clerk.ask(
            self._records.settle,
            nothing,
            lambda error: self._emit("alarm", "recipe_not_recorded", detail=f"{what}: {error}"),
        )
        self._meant.ask()
        self._clerk.ask(
            self._records.shadow,
            self._on_shadow_found,
            lambda error: self._emit("warning", "shadow_failed", detail=f"not resumed: {error}"),
        )

    def _on_shadow_found(self, recipe: LineRecipe | None) -> None:
        if recipe is not None and self._shadow.name is None:
            self._go_on_by(recipe, "resumed")

    def _go_on_by(self, shadow: LineRecipe, why: str) -> None:
        """Score by the shadow that the audit file says."""
        recipe = self._as_it_is_now(shadow)
        try:
            self._shadow.begin(recipe, self._book.in_force, why)
        except InspectdError as error:
            self._emit("warning", "shadow_failed", detail=f"{recipe.name}: not resumed: {error}")

    def _begin_shadow(self, request: RecipeRequest, who: str, door: str, reply: Reply) -> None:
        """Read a recipe, record that it is the shadow, and load it."""
        if self._is_changing_shadow:
            self._refuse(request, reply, RecipeRefusalReason.BUSY, "a shadow begins or ends; ask again")
            return
        self._is_changing_shadow = True
        change, old = Change(AuditAction.SHADOW, who, door, request.why), self._shadow.recipe

        def refuse(error: InspectdError, reason: RecipeRefusalReason) -> None:
            self._is_changing_shadow = False
            self._refuse(request, reply, reason, str(error))

        def record(recipe: LineRecipe) -> None:
            self._clerk.ask(
                partial(self._records.record_shadow, change, old, recipe),
                partial(begin, recipe),
                lambda error: refuse(error, RecipeRefusalReason.NOT_RECORDED),
            )

        def begin(recipe: LineRecipe, _: object) -> None:
            recipe = self._as_it_is_now(recipe)
            try:
                self._shadow.begin(recipe, self._book.in_force, request.request)
            except InspectdError as error:  # no process can be had now; the next start tries again
                refuse(error, RecipeRefusalReason.NOT_READY)
            else:
                self._is_changing_shadow = False
                self._answer(request, reply, recipe, RecipeState.LOADING)

        self._clerk.ask(
            partial(self._records.read, request.recipe, request.version, is_newest_meant=True),
            record,
            lambda error: refuse(error, _unreadable(error)),
        )

    def _end_shadow(self, request: RecipeRequest, who: str, door: str, reply: Reply) -> None:
        """Record that there is no shadow any more, and let it go."""
        shadow = self._shadow.recipe
        if self._is_changing_shadow:
            self._refuse(request, reply, RecipeRefusalReason.BUSY, "a shadow begins or ends; ask again")
            return
        if shadow is None or not _names(request, shadow):
            self._refuse_no_shadow(request, reply)
            return
        self._is_changing_shadow = True
        change = Change(AuditAction.SHADOW, who, door, request.why)

        def end(_: object) -> None:
            self._is_changing_shadow = False
            self._shadow.end(f"ended by {who or 'unknown'} ({door})")  # of the file maybe a newer one by now
            self._answer(request, reply, shadow, RecipeState.UNLOADED)

        def refuse(error: InspectdError) -> None:
            self._is_changing_shadow = False
            self._refuse(request, reply, RecipeRefusalReason.NOT_RECORDED, str(error))

        self._clerk.ask(partial(self._records.record_shadow, change, shadow, None), end, refuse)

    def _refuse_no_shadow(self, request: RecipeRequest, reply: Reply) -> None:
        detail = f"{_named(request)} is not the shadow; that is {self._shadow.name or 'none'}"
        self._refuse(request, reply, RecipeRefusalReason.NO_SHADOW, detail)

    # --- the audit journal ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """The line begins to stop: a change that is not recorded for certain yet does not come."""
        recording = self._recording
        if recording is not None and not recording.is_given_up and recording.give_up():
            self._refuse(recording.request, recording.reply, RecipeRefusalReason.NOT_READY, "the line stops")

    def close(self) -> None:
        """The line ends: a change that is not recorded yet does not come, as nobody can be told of it."""
        if self._recording is not None:
            self._recording.give_up()

    @property
    def owes_answer(self) -> bool:
        """Whether a change counts, or may yet, of which who asked was told nothing."""
        return self._recording is not None and not self._recording.is_given_up

    def _begin_recording(self, recording: _Recording, old: LineRecipe) -> None:
        self._recording = recording
        change = Change(recording.action, recording.who, recording.door, recording.request.why)
        is_reload = recording.action is AuditAction.RELOAD  # which may be of what is not in force
        if is_reload or recording.is_to_judge:
            record = self._records.record if is_reload else self._records.change
            work = partial(record, change, old, recording.recipe, recording.be_certain)
        else:  # nothing changes, but the next start has to know it
            work = partial(self._records.confirm, change, recording.recipe)
        self._clerk.ask(
            work,
            partial(self._on_recorded, recording, old),
            partial(self._on_not_recorded, recording),
        )

    def _on_recorded(self, recording: _Recording, old: LineRecipe, _: object) -> None:
        """Put the recipe in force, now that the next start would go by it."""
        self._recording = None
        if not recording.is_to_judge:
            if recording.is_given_up:  # whoever asked was told that the disk does not answer
                return
            self._acknowledge(recording.request, recording.reply, recording.recipe)
            return
        in_force_utc_ns, now_ns = time.time_ns(), self._clock()
        self._book.put_in_force(recording.recipe, now_ns)
        self._line.on_recipe_in_force(recording.recipe, old)
        detail = f"{old.name} -> {recording.recipe.name} by {recording.who or 'unknown'} ({recording.door})"
        self._emit("info", "recipe_activated", detail=detail)
        self._acknowledge(
            recording.request,
            recording.reply,
            recording.recipe,
            in_force_utc_ns=in_force_utc_ns,
            before=old.name,
        )

    def _on_not_recorded(self, recording: _Recording, error: InspectdError) -> None:
        self._recording = None
        # It may have been left out meanwhile, and was kept for the record.
        self._loader.serve_loaded(is_recording=False)
        if isinstance(error, NotBeforeError):  # that is a wrong request, and no fault of the line
            reason = RecipeRefusalReason.NOT_BEFORE
        elif isinstance(error, NotStoredError):  # so is this: somebody took it away
            reason = RecipeRefusalReason.DAMAGED
        else:
            reason = RecipeRefusalReason.NOT_RECORDED
            self._emit("alarm", "recipe_not_recorded", detail=f"{recording.recipe.name}: {error}")
        if not recording.is_given_up:
            self._refuse(recording.request, recording.reply, reason, str(error))

    @property
    def is_busy(self) -> bool:
        """Whether `turn` has something to wait for."""
        return self._loader.is_busy or self._recording is not None or self._meant.is_waiting

    def turn(self, now_ns: int) -> None:
        """Go on with what is being loaded, and give up on a slow disk."""
        self._meant.ask_again(now_ns)
        self._loader.turn(now_ns, is_recording=self._recording is not None)
        recording = self._recording
        is_late = recording is not None and not recording.is_given_up and now_ns > recording.until_ns
        if recording is not None and is_late and recording.give_up():
            detail = f"not in the audit journal within {RECORD_NS / 1e9:g} s: the disk does not answer"
            self._refuse(recording.request, recording.reply, RecipeRefusalReason.NOT_RECORDED, detail)

    # --- answers -------------------------------------------------------------------------------------------

    def state_of(self, recipe: LineRecipe) -> RecipeState:
        """State of a version now."""
        if recipe.name == self._book.in_force.name:
            return RecipeState.ACTIVE
        if self._book.find(recipe.id, recipe.version) is not None:
            return RecipeState.PREPARED
        loading = self._loader.recipe
        is_loading = loading is not None and loading.name == recipe.name
        return RecipeState.LOADING if is_loading else RecipeState.UNLOADED

    def _acknowledge(
        self,
        request: RecipeRequest,
        reply: Reply,
        recipe: LineRecipe,
        *,
        in_force_utc_ns: int | None = None,
        before: str | None = None,
    ) -> None:
        state = self.state_of(recipe)
        self._answer(request, reply, recipe, state, in_force_utc_ns=in_force_utc_ns, before=before)

    def _answer(
        self,
        request: RecipeRequest,
        reply: Reply,
        recipe: LineRecipe,
        state: RecipeState,
        *,
        in_force_utc_ns: int | None = None,
        before: str | None = None,
    ) -> None:
        self._metrics.recipe_request(request.action, None)
        reply(
            RecipeAck(
                request.request, request.action, state, recipe.id, recipe.version, recipe.number,
                recipe.sha256, in_force_utc_ns, before,
            )
        )  # fmt: skip

    def _refuse(
        self, request: RecipeRequest | None, reply: Reply, reason: RecipeRefusalReason, detail: str
    ) -> None:
        self._metrics.recipe_request(None if request is None else request.action, reason)
        name = None if request is None else request.request
        reply(RecipeRefusal(name, reason, detail[:MAX_DETAIL_CHARACTERS]))


def _unreadable(error: InspectdError) -> RecipeRefusalReason:
    """Reason for not taking a version that the store does not give."""
    is_unknown = isinstance(error, RecipeNotFoundError)
    return RecipeRefusalReason.UNKNOWN if is_unknown else RecipeRefusalReason.DAMAGED


def _named(request: RecipeRequest) -> str:
    name = f"number {request.recipe}" if isinstance(request.recipe, int) else request.recipe
    return name if request.version is None else f"{name}@{request.version}"


def _names(request: RecipeRequest, recipe: LineRecipe) -> bool:
    """Whether a request is for that version."""
    is_its_name = request.recipe in {recipe.id, recipe.number}
    return is_its_name and request.version in {None, recipe.version}


def _of_reload(action: RecipeAction, recipe: LineRecipe, why: str) -> RecipeRequest:
    """As if somebody had asked for it."""
    return RecipeRequest(f"reload-{recipe.version}", action, FILE, recipe.version, SIGNAL, why)


def _numbered(recipe: LineRecipe) -> str:
    return recipe.name if recipe.number is None else f"{recipe.name} (number {recipe.number})"
