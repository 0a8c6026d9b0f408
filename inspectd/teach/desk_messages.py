"""What a program asks the teaching desk of a line, and what it answers.

One request and one answer for each connection to its socket: a line of JSON each, and after the answer's the
bytes of a picture, if one was asked for.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

MOST_REQUEST_BYTES: Final = 65_536
MOST_ANSWER_BYTES: Final = 64_000_000

_Text = Annotated[str, Meta(max_length=300)]
_Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class DeskPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks, as the program says that it knows."""

    who: Annotated[str, Meta(min_length=1, max_length=64)]
    role: Annotated[str, Meta(max_length=32)]
    door: Annotated[str, Meta(max_length=100)]
    """The way that person came, such as `page 10.0.0.7`."""
    why: _Text = ""


class _Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """Something that is asked of the desk."""

    line: Annotated[str, Meta(max_length=200)] = ""
    """`PLANT/LINE` that is meant: the desk of any other refuses. Empty: whichever is asked."""


class LookAsked(_Asked, frozen=True, tag="look"):
    """All cases and candidates, and what is under way."""


class JobAsked(_Asked, frozen=True, tag="job"):
    """What is under way, or was last."""


class PictureAsked(_Asked, frozen=True, tag="picture"):
    """A picture: as it was judged (PNG), or what a report shows of it (JPEG)."""

    sha256: _Digest
    is_shown: bool = False


class ReportAsked(_Asked, frozen=True, tag="report"):
    """The report on a candidate."""

    candidate: _Digest


class MarkAsked(_Asked, frozen=True, tag="mark"):
    """Say that a verdict was wrong."""

    person: DeskPerson
    verdict: Annotated[str, Meta(max_length=40)]
    part_is: Literal["good", "bad"]


class AnswerAsked(_Asked, frozen=True, tag="answer"):
    """Say something of a case."""

    person: DeskPerson
    case: Annotated[str, Meta(max_length=40)]
    say: Literal["confirm", "refuse", "vouch", "withdraw"]


class BuildAsked(_Asked, frozen=True, tag="build"):
    """Build a candidate, and report on it."""

    person: DeskPerson
    recipe: Annotated[str, Meta(max_length=64)]
    camera: Annotated[str, Meta(max_length=130)]


class RenewAsked(_Asked, frozen=True, tag="renew"):
    """Make the report on a candidate anew."""

    person: DeskPerson
    candidate: _Digest


class CancelAsked(_Asked, frozen=True, tag="cancel"):
    """End what is under way, if it is what began then."""

    person: DeskPerson
    began_ms: int


class SignAsked(_Asked, frozen=True, tag="sign"):
    """Sign a candidate: propose it, or approve it."""

    person: DeskPerson
    candidate: _Digest
    sign: Literal["propose", "approve"]
    second_why: _Text = ""


DeskRequest = (
    LookAsked | JobAsked | PictureAsked | ReportAsked | MarkAsked | AnswerAsked | BuildAsked | RenewAsked
    | CancelAsked | SignAsked
)  # fmt: skip


class DeskJob(msgspec.Struct, frozen=True, kw_only=True):
    """What the desk computes, or computed last; one at a time."""

    schema: Literal["teach_job/1"] = "teach_job/1"
    kind: Literal["build", "renew"]
    about: str
    """`RECIPE, CAMERA`, or the candidate's sha256."""
    who: str
    state: Literal["running", "done", "failed", "cancelled", "interrupted"]
    """`interrupted`: the desk ended meanwhile, and nothing of it was kept."""
    began_ms: int
    ended_ms: int | None = None
    step: str = ""
    """`images`, `features`, `bank`, `threshold`, `known`, `evidence` or `taught`."""
    done: int = 0
    total: int = 0
    detail: str = ""
    """Why it failed, in words."""
    candidate: str | None = None
    """The bank that came out."""


class DeskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the desk answers.

    Attributes:
        what: empty: done; `unavailable`: not now; else the word of a `TeachRefusedError`, or `refused`: it
            cannot be so, and nothing changed.
        detail: why not, in words.
        value: what was asked for.
        picture_bytes: that follow.
    """

    what: str = ""
    detail: str = ""
    value: Any = None
    picture_bytes: int = 0


decode_request: Final = msgspec.json.Decoder(DeskRequest).decode
decode_answer: Final = msgspec.json.Decoder(DeskAnswer).decode
