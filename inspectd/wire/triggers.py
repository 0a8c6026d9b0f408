"""Triggers, and the line's answers to them. `docs/triggers.md` describes every field."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inspectd.wire.open_enum import OpenStrEnum
from inspectd.wire.verdicts import Int64, Number


class TriggerRequest(
    msgspec.Struct,
    frozen=True,
    tag_field="schema",
    tag="trigger/1",
    forbid_unknown_fields=True,
    omit_defaults=True,  # a line refuses fields that it does not know yet, whatever is in them
):
    """The plant reports a part in front of the cameras. `docs/triggers.md` describes every field."""

    trigger_id: Annotated[str, Meta(min_length=1, max_length=64)]
    part_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    encoder_count: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    recipe: Annotated[str, Meta(max_length=64)] | None = None
    cameras: list[str] | dict[str, str] | None = None
    """Names; or names with the recipe of each; or every triggered camera."""
    deadline_ms: Annotated[float, Meta(ge=1, le=600_000)] | None = None
    golden: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """The part is this golden one: it is checked, opens no gate and counts nowhere else."""
    line: Annotated[str, Meta(max_length=200)] = ""
    """`PLANT/LINE` that is meant: any other refuses. Empty: whichever is asked."""


class RefusalReason(OpenStrEnum):
    """Reason for not taking a trigger. A line makes no others: it is a metric label."""

    NOT_READY = "not_ready"
    UNKNOWN_RECIPE = "unknown_recipe"
    UNKNOWN_CAMERA = "unknown_camera"
    DUPLICATE_ID = "duplicate_id"
    OVERLOAD = "overload"
    SHUTTING_DOWN = "shutting_down"
    MALFORMED = "malformed"
    GOLDEN = "golden"
    """The golden part it names cannot be shown now."""
    OTHER_LINE = "other_line"
    """The part is in front of another line's cameras."""


class Refusal(msgspec.Struct, frozen=True, tag_field="schema", tag="trigger_refusal/1"):
    """The answer to a trigger that was not taken: nothing will be published for it."""

    trigger_id: str | None
    reason: RefusalReason
    detail: str


class Accepted(msgspec.Struct, frozen=True, tag_field="schema", tag="trigger_ack/1"):
    """The answer to a trigger that was taken: exactly one part verdict will be published for it."""

    trigger_id: str
    epoch: Number
    received_utc_ns: Int64
    deadline_ms: float
    cameras: list[str]
    recipe: str | None = None
    """The recipe that judges its views; None where they are judged by different ones."""
    recipe_version: int | None = None
    """Of a recipe of the store."""
