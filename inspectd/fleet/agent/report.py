"""What a line says it runs: one JSON message, at every change and every minute (`docs/fleet.md`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from inspectd.config import MOST_PLACES

_MOST_CHARACTERS: Final = 500
MOST_REPORT_BYTES: Final = 200_000
"""More than a line says that has the most places, of the longest names."""

# Whoever has the key of a line's agent may send anything, which people are shown.
Words = Annotated[str, Meta(max_length=_MOST_CHARACTERS)]
Name = Annotated[str, Meta(max_length=256)]
Digest = Annotated[str, Meta(max_length=64)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Counts = Annotated[dict[Name, Number], Meta(max_length=256)]
Banks = Annotated[dict[Name, Digest], Meta(max_length=MOST_PLACES)]


class AgentState(StrEnum):
    """State of a line's agent. A closed set: it is a metric label."""

    IDLE = "idle"
    """Nothing is wanted of this line yet."""
    WAITING = "waiting"
    """The order's time has not come, or something is in the way that may go by itself; `why` says what."""
    FETCHING = "fetching"
    """Chunks are fetched from the servers."""
    IMPORTING = "importing"
    """The recipe is handed to the line's store, which checks every byte."""
    ACTIVATING = "activating"
    """The line loads the recipe beside what runs."""
    RUNNING = "running"
    """The line judges by what is wanted: by the very recipe of the order, whatever its name."""
    HELD = "held"
    """The order was carried out, and another recipe is in force since: by somebody's choice, or because the
    line's store was made anew."""
    REFUSED = "refused"
    """The newest entry, or what it names, will not be used; the line goes on as before."""
    UNKNOWN = "unknown"
    """The line gives no answer."""


class FleetReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag="fleet_report/1"):
    """What a line runs, and what its agent thinks. `docs/fleet.md` describes every field."""

    plant: str
    line: str
    at_utc_ns: Number
    software: Name
    state: AgentState
    why: Words
    recipe: Name | None
    version: Number | None
    bank_sha256: Banks
    wanted_serial: Number | None
    wanted_recipe: Name | None
    wanted_recipe_sha256: Digest | None
    offered_sha256: Digest | None
    refusal: Words | None
    progress: Share | None
    counted_since_utc_ns: Number | None
    verdicts: Counts
    reject_share: Share | None
    drift: float | None
    verdicts_by_place: Annotated[dict[Name, Counts], Meta(max_length=MOST_PLACES)] = {}


def cut(text: str) -> str:
    """The text as `why` takes it."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."


def encode(report: FleetReport) -> bytes:
    """The message."""
    return msgspec.json.encode(report)


def decode(data: bytes, plant: str, line: str) -> FleetReport | None:
    """The report in a message; None where it is none, or another line's.

    A server puts words of an acknowledgement wherever a message asks for, so not all in a stream is a report.
    """
    try:
        report = msgspec.json.decode(data, type=FleetReport)
    except (ValueError, RecursionError):
        return None
    return report if (report.plant, report.line) == (plant, line) else None
