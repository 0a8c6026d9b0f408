"""The store of recipes: `ID/VERSION/`, each written whole or not at all and never changed afterwards."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from inspectd import __version__
from inspectd.errors import InputError, UnavailableError
from inspectd.files import make_folder
from inspectd.recipes.archive import open_archive, write_archive
from inspectd.recipes.folders import refuse_other_than_folder
from inspectd.recipes.reading import RecipeReader
from inspectd.recipes.staging import (
    Progress,
    Source,
    copy_files,
    file_source,
    publish,
    staging_folder,
    sweep,
    write_file,
)
from inspectd.recipes.version import (
    MANIFEST,
    CameraRecipe,
    FileDigest,
    RecipeVersion,
    encode,
    sealed,
)

_NO_SHA256: Final = "0" * 64

Admit = Callable[[Path, RecipeVersion], None]
"""Looks at a version in its folder before it appears, and raises what is wrong with it."""


class RecipeDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become the next version of a recipe.

    Attributes:
        id: of the recipe; made if there is none of this name.
        number: by which a PLC names it.
        cameras: by name; each `bank` is the name of one of `banks`.
        banks: files to copy, by their name inside the version: `banks/NAME.safetensors`.
        who: makes it.
        why: it is made; may be empty.
        parent: version it was made from, if any.
        origin: sha256 of the version that was exported elsewhere, if it is a copy of one.
    """

    id: str
    number: int
    cameras: dict[str, CameraRecipe]
    banks: dict[str, Path]
    who: str
    why: str = ""
    parent: int | None = None
    origin: str | None = None


class RecipeStore(RecipeReader):
    """The store: as `RecipeReader`, and versions can be added, which one process at a time does."""

    def __init__(
        self,
        root: Path,
        clock_ns: Callable[[], int] = time.time_ns,
        given: Callable[[str], int] = lambda _: 0,
        meant: Callable[[str], int] | None = None,
    ) -> None:
        """Touch nothing yet.

        Args:
            root: the folder; made by the first version that is added.
            clock_ns: nanoseconds since 1970, UTC.
            given: the highest version of a recipe that is known to have been made, though it may be gone. Its
                number is not given again: it may still be loaded, and stands in records and verdicts.
            meant: the version of a recipe that its id alone means to a line, as `MeantVersions` knows it: its
                number counts there, whatever number a newer one has. None: the newest, and no other.
        """
        super().__init__(root)
        self._clock_ns = clock_ns
        self._given = given
        self._meant = self.newest if meant is None else meant

    def add(
        self, draft: RecipeDraft, admit: Admit | None = None, progress: Progress | None = None
    ) -> RecipeVersion:
        """Make the next version of a recipe; it appears whole or not at all.

        Args:
            draft: what it is to be.
            admit: looks at the copies before they appear, where that takes more than the store knows.
            progress: told of the bytes that are copied.

        Raises:
            InputError: a value is not allowed, the number is another recipe's, a bank cannot be read, or
                `admit` refuses it.
            UnavailableError: the store is in use, cannot be written, or its disk is full.
        """
        with self._writing():
            sources = {name: file_source(path) for name, path in draft.banks.items()}
            return self._add(draft, sources, admit, progress)

    def export(self, id: str, version: int, out: Path) -> RecipeVersion:  # noqa: A002
        """Write a version into one file, for another line; the same version gives the same bytes.

        Raises:
            InputError: there is no such version, it is damaged, or `out` exists.
            UnavailableError: `out` cannot be written.
        """
        recipe = self.verify(id, version)
        write_archive(recipe, self.folder(id, version), out)
        return recipe

    def import_archive(
        self,
        path: Path,
        *,
        who: str,
        why: str | None = None,
        id: str | None = None,  # noqa: A002
        number: int | None = None,
        admit: Admit | None = None,
        progress: Progress | None = None,
    ) -> RecipeVersion:
        """Make the next version of a recipe from a file of `export`; it appears whole or not at all.

        Args:
            path: the file.
            who: imports it.
            why: it is imported; None: why it was made.
            id: of the recipe; None: as it was exported.
            number: by which a PLC names it here; None: as it was exported.
            admit: as of `add`.
            progress: as of `add`.

        Raises:
            InputError: the archive is damaged, altered or none, its content is already here, or as `add`.
            UnavailableError: as `add`.
        """
        with open_archive(path) as archived, self._writing():
            theirs = archived.recipe
            draft = RecipeDraft(
                id=theirs.id if id is None else id,
                number=theirs.number if number is None else number,
                cameras=theirs.cameras,
                banks={},
                who=who,
                why=theirs.why if why is None else why,
                origin=theirs.sha256,
            )
            self._refuse_known(draft.id, theirs)
            return self._add(draft, archived.sources, admit, progress, theirs.files)

    def _add(
        self,
        draft: RecipeDraft,
        sources: Mapping[str, Source],
        admit: Admit | None,
        progress: Progress | None,
        files: Mapping[str, FileDigest] | None = None,
    ) -> RecipeVersion:
        """Make the next version from these sources; `files`: as they must be, where that is known."""
        fields = {name: getattr(draft, name) for name in draft.__struct_fields__ if name != "banks"}
        versions = self.versions(draft.id)
        recipe = RecipeVersion(
            **fields, version=max([self._given(draft.id), *versions]) + 1, created_utc_ns=self._clock_ns(),
            software=__version__, sha256=_NO_SHA256,
            files={name: FileDigest(_NO_SHA256, source.size_bytes) for name, source in sources.items()},
        )  # fmt: skip
        sealed(recipe)  # whatever is not allowed is said before anything is copied
        self._refuse_number(draft)
        if draft.parent is not None and draft.parent not in versions:
            raise InputError(f"{recipe}: got parent {draft.parent}, expected a version of {draft.id} or none")
        if os.path.lexists(self._root / draft.id):
            refuse_other_than_folder(self._root / draft.id)
        with staging_folder(self._root) as folder:
            written = copy_files(sources, folder, progress)
            for name, expected in (files or {}).items():
                if written[name] != expected:
                    raise InputError(f"{name}: was altered: expected what {MANIFEST} says; export it again")
            recipe = sealed(msgspec.structs.replace(recipe, files=written))
            write_file(folder / MANIFEST, encode(recipe))
            if admit is not None:
                _admit(admit, folder, recipe)
            publish(folder, self.folder(recipe.id, recipe.version))
        return recipe

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Have the store alone, and clean; the lock is on its folder, and ends with the process."""
        try:
            make_folder(self._root)
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _lock(descriptor, self._root)
                sweep(self._root)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UnavailableError(
                f"{self._root}: cannot be written: {error.strerror or error}; what was there is unchanged"
            ) from error

    def _refuse_number(self, draft: RecipeDraft) -> None:
        """A PLC names recipes by their numbers: each must mean one recipe."""
        for each in self._newest_versions():
            if each.id == draft.id:
                continue
            if each.recipe is None:
                raise InputError(
                    f"{each.problem}; while it is damaged nobody knows its number, and another recipe might "
                    f"get the same one: restore it, import {each.id} again, or take its folder away"
                )
            if each.recipe.number == draft.number:
                raise InputError(
                    f"number {draft.number} is that of {each.id}, expected another one for {draft.id}"
                )
            older = self._older_with_number(each.recipe, draft.number)
            if older is not None:
                raise InputError(
                    f"number {draft.number} is that of {older}, by which {each.id} was in force last: that "
                    f"counts until {each.recipe} with number {each.recipe.number} is put in force; expected "
                    f"another one for {draft.id}"
                )

    def _older_with_number(self, newest: RecipeVersion, number: int) -> RecipeVersion | None:
        """The version that a recipe's id means now, where that is an older one and has this number."""
        olds = [self._list(newest.id, each).recipe for each in self.versions(newest.id)[:-1]]
        have = [each for each in olds if each is not None and each.number == number]
        if not have:  # nor is the audit file needed, which may be altered
            return None
        meant = self._meant(newest.id)
        return next((each for each in have if each.version == meant), None)

    def _refuse_known(self, id: str, theirs: RecipeVersion) -> None:  # noqa: A002
        """The same again would only look like a new one, by whichever lines it came."""
        for version in reversed(self.versions(id)):
            listed = self._list(id, version).recipe
            if listed and listed.content_sha256 == theirs.content_sha256:
                raise InputError(f"holds {theirs}, which is already here as {listed}")


def _admit(admit: Admit, folder: Path, recipe: RecipeVersion) -> None:
    """Errors name the files as the version does: the hidden folder is gone when somebody reads them."""
    try:
        admit(folder, recipe)
    except InputError as error:
        raise InputError(str(error).replace(f"{folder}/", "")) from error


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UnavailableError(f"{root}: another import is at work; try again when it is done") from error
