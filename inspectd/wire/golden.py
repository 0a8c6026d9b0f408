"""Checks with golden parts: requests on `control`, their answers, and records. see `docs/wire.md`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from inspectd.wire.open_enum import OpenStrEnum
from inspectd.wire.verdicts import Evaluation, Int64, Number


class GoldenState(StrEnum):
    """Whether a recipe has lately shown, with golden parts, that it judges as it must."""

    OFF = "off"
    """It has no golden parts."""
    PASSED = "passed"
    """Its last check passed, and no other one is due."""
    DUE = "due"
    """A check is due; parts are judged until the grace is over."""
    OVERDUE = "overdue"
    FAILED = "failed"
    """A golden part got another verdict or score than expected, and no check has passed since."""


class GoldenAction(StrEnum):
    """What a request asks for."""

    BEGIN = "begin"
    """Begin a check of a recipe."""
    SHOW = "show"
    """The next frame of each free-running camera of this part, captured from now on, is of this part."""
    END = "end"
    """End the check that is under way. With all parts shown it has ended by itself."""
    STATUS = "status"
    """Say how the check is, and which checks are due."""


class GoldenOutcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """It was ended, or nothing was shown for too long, before it could pass or fail; or it passed for
    nothing: that could not be recorded, or what it was shown to had changed by then. It changes nothing."""


class GoldenAgreement(StrEnum):
    """What one showing of a golden part said."""

    AGREED = "agreed"
    """Every camera that must see it gave the verdict, and a score within the band, that is expected."""
    DISAGREED = "disagreed"
    """A camera gave another verdict, or a score outside the band."""
    UNDECIDED = "undecided"
    """No camera disagreed, but one could not judge it: the part may be shown again."""


class GoldenRequest(
    msgspec.Struct,
    frozen=True,
    tag_field="schema",
    tag="golden/1",
    forbid_unknown_fields=True,
    omit_defaults=True,  # a line refuses fields that it does not know yet, whatever is in them
):
    """Somebody checks the line with golden parts."""

    request: Annotated[str, Meta(min_length=1, max_length=64)]
    """A name for this request; comes back with the answer."""
    action: GoldenAction
    recipe: Annotated[str, Meta(max_length=64)] | None = None
    """Of `begin`: name or id of the recipe; left out: the one with golden parts, if just one is in force."""
    part: Annotated[str, Meta(max_length=64)] | None = None
    """Of `show`: name of the golden part."""
    who: Annotated[str, Meta(max_length=64)] = ""
    """Who asks, for the record; over TCP the name of the client's key stands there instead."""
    line: Annotated[str, Meta(max_length=200)] = ""
    """`PLANT/LINE` that is meant: any other refuses. Empty: whichever is asked."""


class GoldenView(msgspec.Struct, frozen=True):
    """What one camera, or one region of it, made of a golden part."""

    camera: str
    """Its name, or `CAMERA/REGION`, as wherever cameras are named here."""
    evaluation: Evaluation
    """Its real judgement; the verdict on the bus is `undecidable: golden`."""
    reason: str
    """A `Reason` of that judgement."""
    score: float | None
    threshold: float | None
    bank_sha256: str | None
    """Bank it was judged by."""


class GoldenShowing(msgspec.Struct, frozen=True):
    """One showing of a golden part: what was expected, and what was found."""

    part: str
    utc_ns: Int64
    """When its verdict was made."""
    expect: Evaluation
    """`pass` or `fail`."""
    score_min: float | None
    """Lowest score that is accepted; null: any."""
    score_max: float | None
    """Highest score that is accepted; null: any."""
    agreement: GoldenAgreement
    problems: list[str]
    """What was not as expected, for people; empty if it agreed."""
    views: list[GoldenView]
    """Of the cameras that must agree."""
    trigger_id: str | None = None
    """The trigger that announced it."""


class GoldenToShow(msgspec.Struct, frozen=True):
    """A golden part that still has to be shown in a check."""

    part: str
    times: int
    """How many more showings have to agree."""
    cameras: list[str]
    """Cameras that must agree."""


class GoldenDue(msgspec.Struct, frozen=True):
    """A recipe, and when its check is due."""

    recipe: str
    state: GoldenState
    due_utc_ns: Int64 | None
    """When its check is, or was, due; null: it is not known before so many more parts."""
    reason: str | None
    """The `Reason` that its parts' verdicts have now because of it; null: they are judged."""


class GoldenAck(msgspec.Struct, frozen=True, tag_field="schema", tag="golden_ack/1"):
    """The answer to a golden request that was taken."""

    request: str
    action: GoldenAction
    recipes: list[GoldenDue]
    """Every recipe in force that has golden parts."""
    check: str | None = None
    """Name of the check that is under way, or that ended last; null: there was none since the start."""
    recipe: str | None = None
    """The recipe that it checks."""
    outcome: GoldenOutcome | None = None
    """How it ended; null: it is under way."""
    problems: list[str] = []
    """Why it failed, or passed for nothing, for people."""
    to_show: list[GoldenToShow] = []
    """What is left of it, in the order of the settings."""
    shown: int = 0
    """Showings so far; it counts up when the result of a `show` or a trigger is there."""
    last: GoldenShowing | None = None
    """The last of them."""
    triggered: list[str] = []
    """Cameras that wait for triggers: for these a trigger announces the part, with the field `golden`."""
    who: str = ""
    """Who began the check; empty: a trigger without a key did."""


class GoldenRefusalReason(OpenStrEnum):
    """Reason for not taking a golden request."""

    MALFORMED = "malformed"
    NOT_READY = "not_ready"
    """The line starts; of `begin` and `show` also: it stops, or no scoring process is warm for the recipe. Or
    a `show` may have waited longer than `triggers.max_delay_ms` to be read."""
    OFF = "off"
    """The settings have no golden part of this recipe."""
    UNKNOWN_RECIPE = "unknown_recipe"
    """It is not in force; or none was named, and several are."""
    UNKNOWN_PART = "unknown_part"
    WRONG_RECIPE = "wrong_recipe"
    """The part belongs to another recipe than the check that is under way."""
    NO_CHECK = "no_check"
    """No check is under way; `begin` one."""
    BUSY = "busy"
    """A check is under way already, or the result of the last showing is not there yet."""
    SHOWN = "shown"
    """This part need not be shown any more in this check."""
    TRIGGERED = "triggered"
    """No free-running camera must see this part: its trigger announces it."""
    OTHER_LINE = "other_line"
    """Another line was meant."""


class GoldenRefusal(msgspec.Struct, frozen=True, tag_field="schema", tag="golden_refusal/1"):
    """The answer to a golden request that was not taken: nothing changed."""

    request: str | None
    """Of the request; null where it could not be read."""
    reason: GoldenRefusalReason
    detail: str
    """For people."""


class GoldenRecord(msgspec.Struct, frozen=True, tag_field="schema", tag="golden_record/1"):
    """A golden part was shown, or a check ended: the result that counts nowhere else."""

    plant: str
    line: str
    epoch: Number
    utc_ns: Int64
    check: str
    """Name of the check: that of the request that began it, or of the trigger."""
    recipe: str
    """Name of the recipe, or its id in the recipe store."""
    recipe_version: int | None
    """Version of a recipe of the recipe store."""
    recipe_sha256: str
    """Identifies what was checked: the recipe's settings, thresholds and banks."""
    who: str
    """Who began the check; empty: a trigger without a key did."""
    state: GoldenState
    """Of the recipe, now."""
    showing: GoldenShowing | None
    """The showing that this is the record of; null: it is that of the end of the check."""
    outcome: GoldenOutcome | None
    """How the check ended; null: it is the record of a showing."""
    problems: list[str]
    """Of the end of a check that failed, or passed for nothing: why, for people."""


GoldenAnswer = GoldenAck | GoldenRefusal

_answers: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(GoldenAnswer)


def decode_golden_answer(answer: bytes) -> GoldenAnswer:
    """Read the answer to a golden request; fields that this version does not have are ignored.

    Raises:
        ValueError: it is none.
    """
    try:
        decoded: GoldenAnswer = _answers.decode(answer)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    return decoded
