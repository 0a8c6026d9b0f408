"""The record of golden parts, `golden.jsonl` in the state directory: a line for each check and each due one.

A line is on the disk before it is counted on. What a crash left of a line was not counted on: it is cut off.
It is a line by its line break, which is written once the rest is on the disk: a disk that fails as it is
flushed, and then takes nothing back, leaves no line that nobody counted on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from io import FileIO
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from inspectd.errors import UnavailableError
from inspectd.files import open_regular, sync_folder
from inspectd.golden.schedule import GoldenPast
from inspectd.wire.golden import GoldenOutcome, GoldenShowing

FILE_NAME: Final = "golden.jsonl"
MOST_BYTES: Final = 64_000_000
"""Read of a file at most, from its end: years of checks."""
_LONGEST_LINE: Final = 4_000_000
_BLOCK: Final = 65_536

_UtcNs = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class CheckResult(
    msgspec.Struct, frozen=True, tag_field="schema", tag="golden_check/1", omit_defaults=True
):  # or the digest of a line of an earlier version would be another one
    """A check that ended."""

    utc_ns: _UtcNs
    """When it ended."""
    began_utc_ns: _UtcNs
    check: str
    """Its name."""
    who: str
    recipe: str
    recipe_version: int | None
    recipe_sha256: str
    """Identifies what was checked: settings, thresholds and banks."""
    outcome: GoldenOutcome
    problems: list[str]
    showings: list[GoldenShowing]
    pictures_sha256: str = ""
    """Identifies how its cameras made their pictures; empty: of a version that did not note it."""


class CheckDue(msgspec.Struct, frozen=True, tag_field="schema", tag="golden_due/1"):
    """A check became due; without it a restart would begin the grace anew."""

    utc_ns: _UtcNs
    """Since when."""
    recipe: str
    recipe_version: int | None
    recipe_sha256: str


class CheckVoid(msgspec.Struct, frozen=True, tag_field="schema", tag="golden_void/1"):
    """A check that passed counts for nothing: what it was shown to had changed before it was on the disk.

    Or the line had ended before. It was abandoned, then, and so was what passed of the recipe between its
    line and this one.
    """

    utc_ns: _UtcNs
    check: str
    """Its name."""
    recipe: str
    recipe_version: int | None
    recipe_sha256: str
    why: str
    passed_utc_ns: _UtcNs | None = None
    """`utc_ns` of its line, as names come again; null: of a version that did not note it."""

    def names(self, line: CheckResult) -> bool:
        """Whether it is this line that counts for nothing."""
        return line.check == self.check and self.passed_utc_ns in {None, line.utc_ns}


class GoldenLines(msgspec.Struct, frozen=True):
    """What was read of a file."""

    lines: list[CheckResult | CheckDue]
    """The oldest first; a pass that is void is abandoned here."""
    unreadable: int
    """Lines that are not in this format; each was passed by."""
    unbelieved: int
    """So many of `lines` come before the last one that was unreadable, or cut by a crash: it may have been of
    a failure, so that no pass before it counts."""
    left_out_bytes: int
    """At the beginning of the file: it is longer than what is read of one."""

    @property
    def checks(self) -> list[CheckResult]:
        """Those of checks that ended."""
        return [line for line in self.lines if isinstance(line, CheckResult)]


_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(CheckResult | CheckDue | CheckVoid)


def append_line(path: Path, line: CheckResult | CheckDue | CheckVoid) -> None:
    """Write a line at the end of the file, which is made where there is none; wait until it is on the disk.

    Raises:
        UnavailableError: it cannot be written and is no line of the file; or the disk failed so late that
            nobody can know whether it is, which is said.
    """
    try:
        is_new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:  # what a buffer holds would be written after the failure
            end = _cut_torn(file)
            is_whole = False
            try:
                for data in (_encoder.encode(line), b"\n"):
                    rest = data
                    while rest:
                        rest = rest[file.write(rest) :]
                    is_whole = data == b"\n"
                    os.fsync(file.fileno())
            except OSError as error:
                _take_back(file, end, path, error, is_whole=is_whole)
                raise
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror or error}") from error


def _take_back(file: FileIO, end: int, path: Path, why: OSError, *, is_whole: bool) -> None:
    """Take out what was written behind `end` before `why`; what `is_whole` is a line until it is out.

    Raises:
        UnavailableError: nobody can know whether it is a line of the file.
    """
    try:
        os.ftruncate(file.fileno(), end)
        os.fsync(file.fileno())
    except OSError as error:
        if is_whole:
            raise UnavailableError(
                f"{path}: cannot be written: {why.strerror or why}; nor can it be taken back "
                f"({error.strerror or error}), so it may count at the next start: look into the file then"
            ) from error


def read_lines(path: Path, most_bytes: int = MOST_BYTES) -> GoldenLines:
    """Read the file, or of a very long one its end; a file that is not there has no lines.

    Raises:
        InputError: it is no regular file.
        UnavailableError: it cannot be read now.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            left_out = max(0, size - most_bytes)
            file.seek(left_out)
            if left_out:  # to the beginning of a line
                left_out += len(file.readline(_LONGEST_LINE))
            found: list[CheckResult | CheckDue] = []
            unreadable, unbelieved = 0, 0
            while data := file.readline(_LONGEST_LINE):
                line = _decoded(data) if data.endswith(b"\n") else None
                if isinstance(line, CheckVoid):
                    for at, passed in _void_passes(found, line):
                        problems = [*passed.problems, f"passed, but counts for nothing: {line.why}"]
                        found[at] = msgspec.structs.replace(
                            passed, outcome=GoldenOutcome.ABANDONED, problems=problems
                        )
                    continue
                if line is not None:
                    found.append(line)
                    continue
                unreadable += data.endswith(b"\n") or len(data) == _LONGEST_LINE  # else a crash cut it
                unbelieved = len(found)
    except FileNotFoundError:
        return GoldenLines([], 0, 0, 0)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from error
    return GoldenLines(found, unreadable, unbelieved, left_out)


def digest_of(line: CheckResult | CheckDue) -> str:
    """SHA-256 of a line of the file, without its line break."""
    return hashlib.sha256(_encoder.encode(line)).hexdigest()


def newest_checks(path: Path, most: int) -> list[tuple[str, CheckResult, str]]:
    """The last checks of the file, the newest first.

    Each with the SHA-256 of its line as it stands there, and with why it is void though it passed, or "".

    Raises:
        InputError: it is no regular file.
        UnavailableError: it cannot be read now.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LONGEST_LINE))
            read = list(iter(lambda: file.readline(_LONGEST_LINE), b""))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from error
    checks: list[CheckResult] = []
    digests: list[str] = []
    void_by: dict[int, str] = {}
    for data in read:
        line = _decoded(data) if data.endswith(b"\n") else None
        if isinstance(line, CheckVoid):
            void_by |= {at: line.why for at, _ in _void_passes(checks, line)}
        elif isinstance(line, CheckResult):
            checks.append(line)
            digests.append(hashlib.sha256(data[:-1]).hexdigest())
    found = [
        (digest, line, void_by.get(at, ""))
        for at, (digest, line) in enumerate(zip(digests, checks, strict=True))
    ]
    return found[: -most - 1 : -1]


def past_of(lines: Sequence[CheckResult | CheckDue], unbelieved: int = 0) -> dict[str, GoldenPast]:
    """What a schedule goes on from, by the sha256 of what was checked.

    Args:
        lines: the oldest first.
        unbelieved: so many of them say nothing of passes; see `GoldenLines`.
    """
    past = _follow({}, lines[:unbelieved])
    for sha256, each in past.items():
        past[sha256] = msgspec.structs.replace(each, passed_utc_ns=None)
    return _follow(past, lines[unbelieved:])


def _follow(past: dict[str, GoldenPast], lines: Iterable[CheckResult | CheckDue]) -> dict[str, GoldenPast]:
    for line in lines:
        before = past.get(line.recipe_sha256, GoldenPast())
        if isinstance(line, CheckDue):
            since = line.utc_ns if before.due_utc_ns is None else min(before.due_utc_ns, line.utc_ns)
            past[line.recipe_sha256] = msgspec.structs.replace(before, due_utc_ns=since)
        elif line.outcome is GoldenOutcome.PASSED:
            past[line.recipe_sha256] = GoldenPast(
                passed_utc_ns=line.utc_ns, pictures_sha256=line.pictures_sha256
            )
        elif line.outcome is GoldenOutcome.FAILED:
            past[line.recipe_sha256] = msgspec.structs.replace(before, is_failed=True)
    return past


def _void_passes(lines: Sequence[CheckResult | CheckDue], void: CheckVoid) -> list[tuple[int, CheckResult]]:
    """Those of the lines before it, and where, that are passes and by it are void."""
    passes: list[tuple[int, CheckResult]] = []
    for at in range(len(lines) - 1, -1, -1):
        line = lines[at]
        if not isinstance(line, CheckResult) or line.recipe_sha256 != void.recipe_sha256:
            continue
        if line.outcome is GoldenOutcome.PASSED:
            passes.append((at, line))
        if void.names(line):
            return passes
    return passes if void.passed_utc_ns is None else []  # the disk did not take the pass


def _decoded(data: bytes) -> CheckResult | CheckDue | CheckVoid | None:
    try:
        line: CheckResult | CheckDue | CheckVoid = _decoder.decode(data)
    except (ValueError, RecursionError):
        return None
    return line


def _cut_torn(file: FileIO) -> int:
    """Cut off what follows the last whole line; the file's length then."""
    size = end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - _BLOCK)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            end = begin + at + 1
            break
        end = begin
    if end < size:
        os.ftruncate(file.fileno(), end)
    return end
