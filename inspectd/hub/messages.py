"""What a message of a line's stream is: one of its verdicts, or nobody's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from inspectd import wire
from inspectd.fleet.agent.report import MOST_REPORT_BYTES, Banks, Name, Number, Share, Words
from inspectd.fleet.names import ID_HEADER, LineNames, message_id, position_of
from inspectd.wire import PartVerdict, Verdict
from inspectd.wire.sync import Position

REPAIR_MARK: Final = ".fix."
_MOST_NUMBER: Final = 2**63 - 1
_MOST_MS: Final = 253_402_300_800_000  # the year 10000
_MOST_TEXT: Final = 600
"""Bytes of a name, as it is stored: PostgreSQL indexes 2,704 at most, of four of these and more together."""
_MOST_BYTES: Final = 262_144
"""Of a verdict: a part of 256 views has a fifth. A page holds hundreds of them in memory."""


class LineReport(msgspec.Struct, frozen=True, tag_field="schema", tag="fleet_report/1"):
    """What a line says it runs, of that what is shown (`docs/fleet.md`).

    Attributes:
        at_utc_ns: when it was said, by the line's clock.
        state: of the line's agent, in a word.
        bank_sha256: the banks in force, by recipe.
        refusal: why the newest entry will not be used.
        progress: share of the chunks that are there.
    """

    plant: str
    line: str
    at_utc_ns: Number
    state: Annotated[str, Meta(pattern=r"^[a-z_]{1,32}\Z")]  # a later version may have another word
    why: Words = ""
    recipe: Name | None = None
    version: Number | None = None
    bank_sha256: Banks = {}
    wanted_serial: Number | None = None
    wanted_recipe: Name | None = None
    refusal: Words | None = None
    progress: Share | None = None


_report: Final = msgspec.json.Decoder(LineReport)


def verdict_of(
    names: LineNames, subject: str, headers: Mapping[str, str] | None, body: bytes
) -> Verdict | PartVerdict | None:
    """The verdict in a message of a line's stream; None: nobody who forwards this line sent it.

    Only a message with the id of a verdict, on that verdict's subject and with that verdict in it is one:
    a server writes acknowledgements to whatever subject somebody names for them (`docs/fleet.md`, section 4).
    """
    position = position_of((headers or {}).get(ID_HEADER))
    if position is None or len(body) > _MOST_BYTES:
        return None
    try:
        item = wire.decode(body)
    except ValueError:
        return None
    if not isinstance(item, Verdict | PartVerdict):
        return None
    is_repair = is_of_repairs(names, subject)
    is_its_own = (
        (item.plant, item.line) == (names.plant, names.line)
        and Position(item.epoch, item.seq) == position
        and (headers or {})[ID_HEADER] == message_id(position, is_repair=is_repair)
        and names.subject(item, is_repair=is_repair) == subject
    )
    return item if is_its_own and _can_be_kept(item) else None


def is_of_repairs(names: LineNames, subject: str) -> bool:
    """Whether what a line's forwarder sends to that subject is added later."""
    return subject.startswith(names.base + REPAIR_MARK)


def report_of(names: LineNames, body: bytes) -> LineReport | None:
    """What a line reports; None: it is no report of this line."""
    try:
        report = _report.decode(body.decode())  # all of it is kept as text, also what is passed over here
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    is_its_own = (report.plant, report.line) == (names.plant, names.line)
    return report if is_its_own and len(body) <= MOST_REPORT_BYTES else None


def stored_text(text: str | None) -> Any:
    """A text as a database takes it: PostgreSQL has no character 0. The verdict itself is kept as it came."""
    return None if text is None else text.replace("\x00", "\ufffd")


def _can_be_kept(item: Verdict | PartVerdict) -> bool:
    numbers = [item.epoch, item.seq]
    texts = [item.part_id, item.reason]
    if isinstance(item, Verdict):
        texts += [item.camera, item.region, item.recipe, item.bank_sha256]
        numbers.append(item.recipe_version or 0)
    return (
        all(0 <= number <= _MOST_NUMBER for number in numbers)
        and 0 <= item.decided_utc_ns // 1_000_000 < _MOST_MS
        and all(len((stored_text(text) or "").encode()) <= _MOST_TEXT for text in texts)
    )
