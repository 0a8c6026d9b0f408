"""Which record put the recipe in force, beside the audit file: one that was emptied or cut shows.

The audit file alone says what is in force. Its chain shows every change but one: what is cut off its end. A
line would then judge by an earlier recipe, or the configuration file's, and nobody would know.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from inspectd.errors import InputError, UnavailableError
from inspectd.files import open_regular, write_bytes
from inspectd.recipes.audit.records import AuditRecord

_MOST_BYTES: Final = 1000


class AuditMark(msgspec.Struct, frozen=True):
    """The newest record that put a recipe in force."""

    seq: int
    sha256: str
    new: str
    """What it put in force, for people."""


def _path(audit: Path) -> Path:
    return audit.with_suffix(".mark")


def write_mark(audit: Path, record: AuditRecord) -> None:
    """Note a record that is on the disk.

    Raises:
        UnavailableError: it cannot be noted; an older mark still shows what was cut before it.
    """
    mark = AuditMark(record.seq, record.sha256, record.new or "")
    write_bytes(_path(audit), msgspec.json.encode(mark) + b"\n", 0o640)
    try:
        if os.geteuid() == 0:  # as the audit file itself: else the line could not read it
            owner = audit.stat()
            os.chown(_path(audit), owner.st_uid, owner.st_gid)
    except OSError as error:
        raise UnavailableError(f"{_path(audit)}: cannot be given to the line: {error.strerror}") from error


def refuse_lost(audit: Path, found: AuditRecord | None) -> None:
    """Refuse an audit file whose newest record that put something in force is older than the one noted.

    Args:
        audit: the file.
        found: that record of it; None: it has none.

    Raises:
        InputError: it is; nobody can know what is in force.
        UnavailableError: the note may not be read.
    """
    try:
        with open_regular(_path(audit)) as file:
            mark = msgspec.json.decode(file.read(_MOST_BYTES), type=AuditMark)
    except PermissionError as error:
        raise UnavailableError(f"{_path(audit)}: cannot be read: {error.strerror}") from error
    except (OSError, InputError, msgspec.DecodeError):
        return  # none, as before there were any, or one that says nothing
    if found is not None and (found.seq > mark.seq or found.sha256 == mark.sha256):
        return
    raise InputError(
        f"{audit}: record {mark.seq}, which put {mark.new[:100]} in force, is gone: the file was emptied, "
        "cut or replaced by an older one. Put it back, or say what is in force: inspectd recipe activate "
        f"ID@VERSION (or file); who restores a copy of the state removes {_path(audit).name} with it"
    )
