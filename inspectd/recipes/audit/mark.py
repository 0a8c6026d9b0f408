"""Which record put the recipe in force, beside the audit file: what judges changes by this and nothing else.

The audit file alone would say what is in force, but for two things. Its chain shows every change but one:
what is cut off its end. And a record may reach the disk too late, when whoever asked was told that nothing
changed, or was told nothing, because the process ended. So a record counts once it is noted here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from inspectd.errors import InputError, UnavailableError
from inspectd.files import open_regular, sync_folder, write_bytes
from inspectd.recipes.audit.records import NO_SHA256, AuditDamageError, AuditRecord

_MOST_BYTES: Final = 10_000
_ACTIVATE: Final = "inspectd recipe activate ID@VERSION (or file)"
_REMEDY: Final = f"say what is in force once the line is stopped: {_ACTIVATE}"
"""A line that runs writes into no file that is put, or made, in place of the one of its start."""
_LONG_SHA256: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


class AuditMark(msgspec.Struct, frozen=True):
    """The newest record that put a recipe in force."""

    seq: int
    """0: nothing was put in force yet."""
    sha256: str
    new: str
    """What it put in force, for people."""
    pending: int = 0
    """For versions from before there were digests: from this `seq` on records do not count; 0: all do."""
    pending_sha256: tuple[str, ...] = ()
    """Digests of records that are being written, or were in vain: they do not count. Others that are newer
    than the noted one do: a version that notes nothing acknowledged them."""

    def is_pending(self, record: AuditRecord) -> bool:
        """Whether a record does not count."""
        if self.pending_sha256:
            return record.sha256 in self.pending_sha256
        return 0 < self.pending <= record.seq


def mark_path(audit: Path) -> Path:
    """Where it is noted."""
    return audit.with_suffix(".mark")


def mark_of(record: AuditRecord | None) -> AuditMark:
    """What is noted of a record; None: there is none yet."""
    if record is None:
        return AuditMark(0, NO_SHA256, "")
    return AuditMark(record.seq, record.sha256, record.new or "")


def write_mark(audit: Path, mark: AuditMark) -> None:
    """Note what counts; when this returns no power cut undoes it.

    Whoever writes it has the audit file locked. Everybody who gets into the directory may read it, whoever
    wrote it: the line, its group, or root.

    Raises:
        UnavailableError: it cannot be noted, or not for certain: it may lie there all the same.
    """
    write_bytes(mark_path(audit), msgspec.json.encode(mark) + b"\n", has_one_writer=True)
    try:
        sync_folder(audit.parent)
    except OSError as error:
        raise UnavailableError(f"{audit.parent}: cannot be written: {error.strerror}") from error


def read_mark(audit: Path) -> AuditMark | None:
    """What was noted of the newest record that put something in force; None: nothing, as in earlier versions.

    Raises:
        InputError: it is damaged, so that nobody can know whether records are missing.
        UnavailableError: it cannot be read now.
    """
    path = mark_path(audit)
    try:
        with open_regular(path) as file:
            return msgspec.json.decode(file.read(_MOST_BYTES), type=AuditMark)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror}") from error
    except InputError as error:  # no command can write a mark in its place
        raise InputError(
            f"{error}, so nobody can know whether records of {audit.name} are missing. Move it away; if none "
            f"is missing that is all, else {_REMEDY}"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged, so nobody can know whether records of {audit.name} are missing. If none "
            f"is, delete it; else {_REMEDY}"
        ) from error


def damaged(audit: Path, error: AuditDamageError) -> InputError:
    """The error of an audit file that nobody can go on with, with what helps who has no copy of it."""
    then = "and keep it: another one is begun with the next start"
    if mark_path(audit).exists():
        then = f"keep it, and {_REMEDY}"
    short = _LONG_SHA256.sub(r"\1", str(error))  # a refusal on the bus has room for little more than this
    return InputError(f"{short}, or else move it aside, {then}")


def lost(audit: Path, mark: AuditMark) -> InputError:
    """The error of an audit file that lacks the record that was noted."""
    recipe = mark.new.partition(" ")[0]
    return InputError(
        f"{audit}: record {mark.seq}, which put {recipe[:100]} in force, is gone: the file was emptied, "
        f"cut or replaced. Put it back, or {_REMEDY}; if you restored a backup, delete "
        f"{mark_path(audit).name}"
    )
