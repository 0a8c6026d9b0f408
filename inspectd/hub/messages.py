"""What a message of a line's stream is: one of its verdicts, or nobody's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from inspectd import wire
from inspectd.fleet.names import ID_HEADER, LineNames, message_id, position_of
from inspectd.wire import PartVerdict, Verdict
from inspectd.wire.sync import Position

REPAIR_MARK: Final = ".fix."
_MOST_NUMBER: Final = 2**63 - 1
_MOST_MS: Final = 253_402_300_800_000  # the year 10000
_MOST_TEXT: Final = 1000
"""Characters of a name; databases index no longer ones."""


class LineReport(msgspec.Struct, frozen=True):
    """What a line says it runs; every field may be missing.

    Attributes:
        state: such as `as_wanted`, in a word.
        why: in words.
        at_utc_ns: when it was said, by the line's clock.
    """

    plant: str | None = None
    line: str | None = None
    recipe: str | None = None
    version: int | str | None = None
    bank_sha256: str | None = None
    wanted_serial: int | str | None = None
    state: str | None = None
    why: str | None = None
    at_utc_ns: int | None = None


_report: Final = msgspec.json.Decoder(LineReport)


def verdict_of(
    names: LineNames, subject: str, headers: Mapping[str, str] | None, body: bytes
) -> Verdict | PartVerdict | None:
    """The verdict in a message of a line's stream; None: nobody who forwards this line sent it.

    Only a message with the id of a verdict, on that verdict's subject and with that verdict in it is one:
    a server writes acknowledgements to whatever subject somebody names for them (`docs/fleet.md`, section 4).
    """
    position = position_of((headers or {}).get(ID_HEADER))
    if position is None:
        return None
    try:
        item = wire.decode(body)
    except ValueError:
        return None
    if not isinstance(item, Verdict | PartVerdict):
        return None
    is_repair = REPAIR_MARK in subject.removeprefix(names.base)[: len(REPAIR_MARK)]
    is_its_own = (
        (item.plant, item.line) == (names.plant, names.line)
        and Position(item.epoch, item.seq) == position
        and (headers or {})[ID_HEADER] == message_id(position, is_repair=is_repair)
        and names.subject(item, is_repair=is_repair) == subject
    )
    return item if is_its_own and _can_be_kept(item) else None


def report_of(names: LineNames, body: bytes) -> LineReport | None:
    """What a line reports; None: it is no report of this line."""
    try:
        report = _report.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    is_its_own = report.plant in {None, names.plant} and report.line in {None, names.line}
    return report if is_its_own and len(body) < 65_536 else None


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
        and all(len(text or "") <= _MOST_TEXT for text in texts)
    )
