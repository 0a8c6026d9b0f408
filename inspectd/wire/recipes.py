"""Changeover requests on the `control` socket, and the answers. `docs/recipes.md` has a table of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from inspectd.wire.open_enum import OpenStrEnum
from inspectd.wire.verdicts import Int64

LATE: Final = "late"
AT_START: Final = "start"
TAKEN_BACK_DOORS: Final = frozenset({LATE, AT_START})
"""Doors of the rollbacks in the audit file that take back a change whose record came too late: no request
comes by them, so nobody who asks for something can say that."""


class RecipeAction(StrEnum):
    """What is to be done with a recipe (OPC 40100-1: PrepareRecipe, UnprepareRecipe; a closed set)."""

    PREPARE = "prepare"
    """Load it beside those that are loaded, so that it can be put in force at once."""
    ACTIVATE = "activate"
    """Put a prepared one in force: whatever is captured, or triggered, from then on is judged by it."""
    ROLLBACK = "rollback"
    """As `activate`, of the recipe that was in force before the last change, and of no other; after another
    rollback of none."""
    UNPREPARE = "unprepare"
    """It need not stay loaded."""
    SHADOW = "shadow"
    """Score the same frames by it as well, without a vote, beside the one in force."""
    UNSHADOW = "unshadow"
    """It need not score any more."""
    PROMOTE = "promote"
    """As `activate`, of the shadow: recorded as the end of a comparison."""


class RecipeState(StrEnum):
    """State of one version of a recipe on a line."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    PREPARED = "prepared"
    ACTIVE = "active"
    SHADOW = "shadow"
    """Answer to `shadow` and `unshadow` alone: it scores without a vote."""


class RecipeRequest(
    msgspec.Struct,
    frozen=True,
    tag_field="schema",
    tag="recipe/1",
    forbid_unknown_fields=True,
    omit_defaults=True,  # a line refuses fields that it does not know yet, whatever is in them
):
    """Somebody asks for a changeover, or prepares it. `docs/recipes.md` describes every field."""

    request: Annotated[str, Meta(min_length=1, max_length=64)]
    """Comes back with the answer, and with the event that follows a `prepare`."""
    action: RecipeAction
    recipe: Annotated[str, Meta(min_length=1, max_length=64)] | Annotated[int, Meta(ge=1, le=999)]
    """Id of the recipe, or its number; the id `file` means the recipes of the configuration file."""
    version: Annotated[int, Meta(ge=0, le=2**31)] | None = None
    """Left out: the one that was put in force last; where none was, the newest (`docs/recipes.md`)."""
    who: Annotated[str, Meta(max_length=64)] = ""
    """Who asks, as the client says; over TCP with keys the key's name counts instead."""
    why: Annotated[str, Meta(max_length=200)] = ""
    """For the audit journal."""
    line: Annotated[str, Meta(max_length=200)] = ""
    """`PLANT/LINE` that is meant: any other refuses. Empty: whichever is asked."""


class RecipeRefusalReason(OpenStrEnum):
    """Reason for not doing what a recipe request asks. A line makes no others: it is a metric label."""

    MALFORMED = "malformed"
    NOT_READY = "not_ready"
    """The line starts, or stops."""
    BUSY = "busy"
    """Another recipe is being prepared or put in force; ask again."""
    UNKNOWN = "unknown"
    """The store has no such recipe, or no such version."""
    DAMAGED = "damaged"
    """What the store has of it is not what was written, or it does not fit this line's cameras."""
    FAILED = "failed"
    """It could not be loaded: the detail says why. Only in the event that ends a `prepare`."""
    NOT_PREPARED = "not_prepared"
    IN_FORCE = "in_force"
    """The recipe in force cannot be unprepared."""
    NO_SHADOW = "no_shadow"
    """It is not the shadow of this line."""
    NOT_RECORDED = "not_recorded"
    """The audit journal could not be written in time; nothing changed."""
    OTHER_LINE = "other_line"
    """Another line was meant."""
    NOT_BEFORE = "not_before"
    """A rollback leads only to what was in force before the last change, and none follows another."""


class RecipeAck(msgspec.Struct, frozen=True, tag_field="schema", tag="recipe_ack/1"):
    """The answer to a recipe request that was taken."""

    request: str
    action: RecipeAction
    state: RecipeState
    """Of this version now; `loading`: the event `recipe_prepared` or `recipe_failed` follows, of `shadow`
    `shadow_started` or `shadow_failed`."""
    recipe: str
    version: int
    number: int | None
    recipe_sha256: str
    """Of this version, as the store names it."""
    in_force_utc_ns: Int64 | None = None
    """Of `activate`: what is captured, or triggered, after it is judged by this version."""
    before: str | None = None
    """Of `activate`: what was in force until then, `ID@VERSION`."""

    @property
    def name(self) -> str:
        """As `status/1` names it: `ID@VERSION`, or `file` of a configuration file as it was first loaded."""
        return f"{self.recipe}@{self.version}" if self.version else self.recipe


class RecipeRefusal(msgspec.Struct, frozen=True, tag_field="schema", tag="recipe_refusal/1"):
    """The answer to a recipe request that was not taken: nothing changed."""

    request: str | None
    reason: RecipeRefusalReason
    detail: str
