"""A record of the audit file: its fields, its line, and the digests that chain it to the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from inspectd.config import Name
from inspectd.errors import InputError
from inspectd.recipes.canonical import SHA256, Digest, canonical_json, json_object, sealing_sha256
from inspectd.text import printable
from inspectd.wire.open_enum import OpenStrEnum

NO_SHA256: Final = "0" * 64
"""What the first record has for the digest of the one before it."""
LONGEST_TEXT: Final = 300
"""Characters."""
LONGEST_LINE_BYTES: Final = 16_384
"""More than any record takes: seven texts of 300 characters of 4 bytes each, digests and names."""
DONE: Final = "done"
"""The result of a record whose action took effect."""
BEGUN: Final = "begun"
"""The result of a record that is written before an action takes effect; another one says how it ended."""
FILE_NAME: Final = "audit.jsonl"
"""In a line's state directory."""
FILE_ID: Final = "file"
"""Stands for the recipes of the configuration file, with version 0; no recipe of the store has this name."""

Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Utc = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class AuditDamageError(InputError):
    """An audit file is not as it was written."""


class AuditLineError(AuditDamageError):
    """A line of an audit file is not what was written there.

    Attributes:
        expected: what would be right.
        found: what is there.
    """

    def __init__(self, where: str, expected: str, found: str) -> None:
        """Tell of the line that `where` names."""
        self.expected = expected
        self.found = found
        super().__init__(f"{where}: expected {expected}, found {found}; restore a copy of the file")


class AuditAction(OpenStrEnum):
    """The kinds of records; others, which later versions add, are in the chain and change nothing here."""

    ACTIVATE = "activate"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    SHADOW = "shadow"
    IMPORT = "import"
    THRESHOLD = "threshold"
    KEY = "key"
    GOLDEN = "golden"
    RELOAD = "reload"
    TEACH = "teach"
    # In the audit file of the operator's page alone:
    LOGIN = "login"
    LOGOUT = "logout"
    USER = "user"
    PASSWORD = "password"  # noqa: S105 - the kind of a record
    SESSION = "session"
    PREPARE = "prepare"
    UNPREPARE = "unprepare"
    ORDER = "order"
    EXPORT = "export"
    EXPLAIN = "explain"


PUT_IN_FORCE: Final = (AuditAction.ACTIVATE, AuditAction.PROMOTE, AuditAction.ROLLBACK)
"""Actions whose `new` says what is in force from then on."""


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit file; fields that a later version adds are held by its digest like all others."""

    seq: Annotated[int, Meta(ge=1, le=2**53)]
    """1 for the first, then one more each."""
    utc_ns: Utc
    """Nanoseconds since 1970, by the host's clock."""
    who: Text
    door: Text
    """The way it was asked."""
    action: AuditAction
    object: Text | None
    """What it was done to."""
    old: Text | None
    new: Text | None
    why: Text | None
    """The reason that was given."""
    result: Text
    """`done`, or why it was not."""
    previous_sha256: Digest
    """Of the record before it; 64 zeros in the first."""
    sha256: Digest
    """Over the canonical JSON of all other fields."""


class InForce(msgspec.Struct, frozen=True):
    """A version of a recipe that judges the line's parts; `file` with version 0: the configuration file."""

    id: Name
    version: Annotated[int, Meta(ge=0, le=999_999_999)]
    sha256: Digest

    @property
    def is_file(self) -> bool:
        """Whether the recipes of the configuration file are meant."""
        return self.id == FILE_ID


def puts_in_force(record: AuditRecord) -> bool:
    """Whether another recipe judges since it, or the same by other settings."""
    return record.action in PUT_IN_FORCE and record.result == DONE


def format_in_force(in_force: InForce) -> str:
    """`ID@VERSION SHA256`, as `new` and `old` of a record have it."""
    return f"{in_force.id}@{in_force.version} {in_force.sha256}"


def parse_in_force(text: str, where: str = "") -> InForce:
    """The meaning of `ID@VERSION SHA256`; an error begins with `where`.

    Raises:
        InputError: it is not of that form.
    """
    name, _, rest = text.partition("@")
    version, _, sha256 = rest.partition(" ")
    is_plain = version.isascii() and version.isdigit() and str(int(version[:10])) == version
    try:
        found = msgspec.convert(
            {"id": name, "version": int(version) if is_plain else None, "sha256": sha256}, InForce
        )
    except msgspec.ValidationError:
        found = None
    if found is None or found.is_file != (found.version == 0):
        raise InputError(
            f"{where}got {printable(text[:200])!r}, expected ID@VERSION SHA256 of a recipe, "
            f"or {FILE_ID}@0 SHA256"
        )
    return found


def new_line(
    last: AuditRecord | None, utc_ns: int, action: AuditAction, texts: dict[str, str | None]
) -> tuple[bytes, AuditRecord]:
    """The line that follows `last`, and its record; texts are made printable and cut to what fits."""
    fields: dict[str, Any] = {
        "seq": 1 if last is None else last.seq + 1,
        "utc_ns": utc_ns,
        "action": action.value,
        "previous_sha256": NO_SHA256 if last is None else last.sha256,
        **{name: None if text is None else _bounded(text) for name, text in texts.items()},
    }
    fields[SHA256] = sealing_sha256(fields)
    return canonical_json(fields) + b"\n", msgspec.convert(fields, AuditRecord)


def decode_line(line: bytes, where: str) -> AuditRecord:
    """The record of a line without its line break; whether it follows the one before is not looked at.

    Raises:
        AuditLineError: it is not what was written.
    """
    try:
        fields = json_object(line)
        record = msgspec.convert(fields, AuditRecord)
    except ValueError as error:  # msgspec's are of this kind
        raise AuditLineError(where, "a record", f"a line that is none ({str(error)[:200]})") from error
    sha256 = sealing_sha256(fields)
    if sha256 != record.sha256:
        raise AuditLineError(where, f"a record of sha256 {record.sha256}", f"one of sha256 {sha256}")
    if canonical_json(fields) != line:
        raise AuditLineError(where, "the record as it was written", "the same in other words")
    return record


def refuse_damage(path: Path, rest: bytes) -> None:
    """Refuse what lies behind the last line break where no crash can have left it.

    A crash leaves the beginning of one record. More than that, or a whole record with another character for
    its line break, was altered: the record may have been acknowledged.

    Raises:
        AuditDamageError: it was altered.
    """
    if len(rest) > LONGEST_LINE_BYTES:
        raise AuditDamageError(
            f"{path}: its last line has {len(rest)} bytes, expected at most {LONGEST_LINE_BYTES}; "
            "restore a copy of the file"
        )
    try:
        decode_line(rest[:-1], str(path))
    except AuditLineError:
        return
    raise AuditDamageError(
        f"{path}: the line break of its last record was altered; restore a copy of the file"
    )


def _bounded(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[: LONGEST_TEXT - 3]}..."
