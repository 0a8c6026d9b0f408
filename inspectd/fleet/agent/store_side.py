"""Hands archives to a line's recipe store by the command that a person uses, in its own process.

So all that the store checks is checked, the audit file has its record, and the agent loads nothing that reads
banks.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec

from inspectd.errors import ExitCode, UnavailableError
from inspectd.fleet.agent.order import OrderedRecipe, Refusal, RefusedOrderError
from inspectd.wire.recipes import TAKEN_BACK_DOORS

_MOST_SAID: Final = 600
"""Characters of what a command says of its end."""
_LIST_SECONDS: Final = 120.0
_IMPORT_SECONDS: Final = 3600.0
_OF_THE_AGENT: Final = {
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
}
"""Variables that systemd gives the agent, and that mean something else to the command."""


_Kind = TypeVar("_Kind")


class _Camera(msgspec.Struct):
    bank_sha256: str


class _Version(msgspec.Struct):
    id: str
    version: int
    sha256: str
    content_sha256: str
    cameras: dict[str, _Camera]


class StoredVersion(NamedTuple):
    """A version in a line's store, and the sha256 that it has there."""

    version: int
    sha256: str


class _Change(msgspec.Struct):
    """A record of the audit file."""

    action: str
    door: str
    old: str | None
    new: str | None
    why: str | None


class _Listed(msgspec.Struct):
    id: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    recipe: _Version | None


class StoreLook(msgspec.Struct, frozen=True):
    """What a line's store has of a recipe that an order put in force.

    Attributes:
        version: under which it has the recipe now; None: it no longer has it.
        content_sha256: of the version that was put in force then; None: there is none of this number now, or
            it is damaged.
        is_line_new: nobody ever put anything in force, by the line's records: they were made anew.
    """

    version: int | None
    content_sha256: str | None
    is_line_new: bool


class LineStore:
    """A line's recipe store.

    Args:
        line_file: the line's configuration file.
    """

    def __init__(self, line_file: Path) -> None:
        self._file = line_file

    async def version_of(self, recipe: OrderedRecipe) -> StoredVersion | None:
        """The version under which the store has a recipe; None: it has not.

        Raises:
            RefusedOrderError: the order names other banks than its recipe.
            UnavailableError: the store, or the line's file, cannot be read now.
        """
        return _version_in(await self._listing(), recipe)

    async def look(self, recipe: OrderedRecipe, version: int | None) -> StoreLook:
        """How the store stands to a recipe put in force as this version; raises as `version_of`."""
        listing = await self._listing()
        stored = _version_in(listing, recipe, version)
        named = (each.recipe for each in listing if (each.id, each.version) == (recipe.id, version))
        other = next(named, None)
        return StoreLook(
            None if stored is None else stored.version,
            other.content_sha256 if other is not None else None,
            is_line_new=not (await self._run("history", "--json", seconds=_LIST_SECONDS)).strip(),
        )

    async def put_in_force_as(self, mark: str) -> int | None:
        """The version that the line's audit file says came in force for a reason that begins so; None: none.

        The store may have taken that version away since. A change that the line took back, because its record
        came too late, is none.

        Args:
            mark: what the reason begins with.

        Raises:
            UnavailableError: the audit file, or the line's, cannot be read now, or it was altered.
        """
        put: _Change | None = None
        is_newest = False
        for row in (await self._run("history", "--json", seconds=_LIST_SECONDS)).splitlines():
            change = _decoded(row, _Change)
            why = change.why or ""
            if why.startswith(mark):  # a line that gave it up says so with old and new swapped
                is_given_up = put is not None and (change.old, change.new) == (put.new, put.old)
                put = None if is_given_up else change
                is_newest = put is not None
            elif is_newest and change.action == "rollback" and change.door in TAKEN_BACK_DOORS:
                put, is_newest = None, False
            else:
                is_newest = False
        if put is None:
            return None
        version = (put.new or "").partition(" ")[0].rpartition("@")[2]
        if not (version.isascii() and version.isdigit()):
            raise UnavailableError(
                f"the line's audit file: {mark}put {put.new} in force, expected ID@VERSION"
            )
        return int(version)

    async def count(self) -> int:
        """The number of versions in the store.

        Raises:
            UnavailableError: as `version_of`.
        """
        return len(await self._listing())

    async def bring(self, archive: Path, recipe: OrderedRecipe, who: str, why: str) -> StoredVersion:
        """Make a version of what is in an archive.

        Raises:
            RefusedOrderError: the store refuses it, or it is another recipe than the order says.
            UnavailableError: the store is in use, or cannot be written now, or the line's file cannot be
                used.
        """
        words = ("import", str(archive), "--json", "--who", who[:100], "--why", why[:300])
        made = _decoded(await self._run(*words, seconds=_IMPORT_SECONDS), _Version)
        if (made.id, made.content_sha256) != (recipe.id, recipe.content_sha256):
            raise RefusedOrderError(
                Refusal.STORE,
                f"names {recipe}, and its archive holds {made.id} ({made.content_sha256[:12]}), which is now "
                f"in the store as {made.id}@{made.version}, and is not put in force; make the order anew",
            )
        _refuse_other_banks(made, recipe)
        return StoredVersion(made.version, made.sha256)

    async def _listing(self) -> list[_Listed]:
        said = await self._run("list", "--json", seconds=_LIST_SECONDS)
        return [_decoded(row, _Listed) for row in said.splitlines()]

    async def _run(self, *words: str, seconds: float) -> bytes:
        environment = {name: value for name, value in os.environ.items() if name not in _OF_THE_AGENT}
        command = [sys.executable, "-m", "inspectd", "recipe", *words, "--config", str(self._file)]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:  # no process or no descriptor is free
            raise UnavailableError(
                f"`inspectd recipe {words[0]}` cannot be started: {error.strerror}"
            ) from error
        try:
            async with asyncio.timeout(seconds):
                said, wrong = await process.communicate()
        except TimeoutError as error:
            raise UnavailableError(f"`inspectd recipe {words[0]}` took longer than {seconds:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        # Warnings come before it, as of the line's file, by which a line that runs goes on all the same.
        detail = f"\n{wrong.decode(errors='replace')}".rpartition("\nerror: ")[-1].strip()
        # Only an import looks at what the order names, and a file of the line that is just being written is
        # no word about that.
        is_of_line_file = detail.startswith(f"{self._file}: ")
        if process.returncode == ExitCode.BAD_INPUT and words[0] == "import" and not is_of_line_file:
            raise RefusedOrderError(Refusal.STORE, f"is refused by the line's store: {detail}")
        if process.returncode != ExitCode.OK:
            raise UnavailableError(f"`inspectd recipe {words[0]}` {_ended(process.returncode, detail)}")
        return said


def _ended(code: int | None, detail: str) -> str:
    """How a command ended that did not do what it was to do; one that was killed says nothing itself."""
    if code is None or code >= 0:
        return f"ended with {code}: {detail[-_MOST_SAID:]}"
    if -code != signal.SIGKILL:
        known = {each.value: each.name for each in signal.Signals}
        return f"was ended by {known.get(-code, f'signal {-code}')}: {detail[-_MOST_SAID:]}"
    return (
        "was killed (SIGKILL), as a rule because memory ran out: that of the agent's unit (MemoryMax=) or "
        "the host's; `journalctl -k` says which; raise MemoryMax in a drop-in, or give the host more memory"
    )


def _version_in(
    listing: list[_Listed], recipe: OrderedRecipe, before: int | None = None
) -> StoredVersion | None:
    """The version that judges as a recipe does; of several that of the number `before`, else the oldest."""
    is_it = [
        each.recipe
        for each in listing
        if each.recipe is not None
        and (each.recipe.id, each.recipe.content_sha256) == (recipe.id, recipe.content_sha256)
    ]
    found = min(is_it, key=lambda each: (each.version != before, each.version), default=None)
    if found is None:
        return None
    _refuse_other_banks(found, recipe)
    return StoredVersion(found.version, found.sha256)


def _refuse_other_banks(found: _Version, recipe: OrderedRecipe) -> None:
    """Refuse an order whose signers were shown other banks than the recipe that it names judges by."""
    banks = {place: camera.bank_sha256 for place, camera in found.cameras.items()}
    if banks != recipe.bank_sha256:
        here, there = (
            ", ".join(f"{place} {sha256[:12]}" for place, sha256 in sorted(each.items()))[:200]
            for each in (banks, recipe.bank_sha256)
        )
        raise RefusedOrderError(
            Refusal.STORE,
            f"names {recipe} with the banks {there}, and that recipe has {here}; make the order anew",
        )


def _decoded(data: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise UnavailableError(f"`inspectd recipe` said something else than expected: {error}") from error
