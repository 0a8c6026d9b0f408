"""Reads the store of recipes: which there are, what they say, and whether they are as they were written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from inspectd.errors import InputError
from inspectd.files import open_regular
from inspectd.recipes.folders import names_in, refuse_other_names, refuse_other_than_folder, verify_file
from inspectd.recipes.version import BANKS, MANIFEST, MOST_BYTES, RecipeVersion, decode

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")


class ListedVersion(msgspec.Struct, frozen=True):
    """A version as the list shows it.

    Attributes:
        recipe: what its `recipe.json` says; None: that is damaged.
        problem: what is wrong with it; None: nothing.
    """

    id: str
    version: int
    recipe: RecipeVersion | None
    problem: str | None


class RecipeReader:
    """The versions below one folder, as they lie there; reading takes no lock."""

    def __init__(self, root: Path) -> None:
        """Touch nothing yet; `root` is an empty store where there is no folder."""
        self._root = root

    def ids(self) -> list[str]:
        """Every recipe, in order of their names.

        Raises:
            UnavailableError: the store cannot be read.
        """
        return sorted(name for name in names_in(self._root) if _ID.fullmatch(name) and self.versions(name))

    def versions(self, id: str) -> list[int]:  # noqa: A002 - what it is called everywhere
        """Every version of a recipe, damaged ones too, oldest first; none of a recipe that is not there.

        Raises:
            UnavailableError: the store cannot be read.
        """
        if not _ID.fullmatch(id):
            return []
        return sorted(int(name) for name in names_in(self._root / id) if _VERSION.fullmatch(name))

    def newest(self, id: str) -> int:  # noqa: A002
        """The newest version of a recipe, even if it is damaged: an older one is never taken for it.

        Raises:
            InputError: there is no such recipe.
            UnavailableError: the store cannot be read.
        """
        versions = self.versions(id)
        if not versions:
            names = ", ".join(self.ids()[:20])
            expected = (
                f"expected one of: {names}" if names else "nor any other; `inspectd recipe import` makes one"
            )
            raise InputError(f"{self._root}: has no recipe {id[:100]!r}, {expected}")
        return versions[-1]

    def by_number(self, number: int, version_of: Callable[[str], int] | None = None) -> str:
        """The recipe that has this number.

        Args:
            number: 1 to 999.
            version_of: the version of a recipe whose number counts; None: its newest.

        Raises:
            InputError: none has it, or it cannot be known which one.
            UnavailableError: the store cannot be read.
        """
        looked_at, unknown = self._versions_that_count(version_of or self.newest)
        found = [each.id for each in looked_at if each.recipe is not None and each.recipe.number == number]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"{self._root}: number {number} is that of {' and '.join(found)}, by the version of each "
                "that was in force last; put one of them in force by a version that has another number "
                "(ID@VERSION), importing it first where there is none"
            )
        if unknown is not None:
            raise unknown
        damaged = [f"{each.id}@{each.version}" for each in looked_at if each.recipe is None]
        beside = f", and the number of {', '.join(damaged)} is not known, as it is damaged" if damaged else ""
        raise InputError(
            f"{self._root}: no recipe has number {number}{beside}; `inspectd recipe list` shows them"
        )

    def listing(self) -> list[ListedVersion]:
        """Every version of every recipe, in order; what is wrong with one hides no other.

        Banks are not read: `verify` does that.

        Raises:
            UnavailableError: the store cannot be read.
        """
        return [self._list(name, version) for name in self.ids() for version in self.versions(name)]

    def folder(self, id: str, version: int) -> Path:  # noqa: A002
        """The folder of a version, which paths of banks start from; whether it is there is not looked at.

        Raises:
            InputError: no version can have this name.
        """
        if not _ID.fullmatch(id) or not _VERSION.fullmatch(str(version)):
            raise InputError(
                f"got {id[:100]!r}@{version}, expected the name of a recipe and a version from 1"
            )
        return self._root / id / str(version)

    def read(self, id: str, version: int) -> RecipeVersion:  # noqa: A002
        """What a version's `recipe.json` says, checked against its own digest; no bank is read.

        Raises:
            InputError: there is no such version, or it is damaged.
        """
        folder = self.folder(id, version)
        file = folder / MANIFEST
        try:
            for each in (folder.parent, folder):
                refuse_other_than_folder(each)
            with open_regular(file, follow_links=False) as opened:
                data = opened.read(MOST_BYTES + 1)
        except FileNotFoundError as error:
            known = ", ".join(map(str, self.versions(id)[-20:]))
            raise InputError(
                f"{file}: is not there"
                + (f"; versions of {id}: {known}" if known else f"; there is no recipe {id}")
            ) from error
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
        recipe = decode(data, str(file))
        if (recipe.id, recipe.version) != (id, version):
            raise InputError(
                f"{file}: is that of {recipe}, expected {id}@{version}; somebody moved its folder"
            )
        return recipe

    def verify(self, id: str, version: int) -> RecipeVersion:  # noqa: A002
        """Read a version and every byte of its files: all as they were written, and nothing beside them.

        Raises:
            InputError: there is no such version, or it is damaged.
        """
        recipe, folder = self.read(id, version), self.folder(id, version)
        try:
            refuse_other_than_folder(folder / BANKS)
            refuse_other_names(folder, {MANIFEST, BANKS})
            refuse_other_names(folder / BANKS, {Path(name).name for name in recipe.files})
        except OSError as error:
            raise InputError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
        return self.read_whole(id, version)

    def read_whole(self, id: str, version: int) -> RecipeVersion:  # noqa: A002
        """Read a version and every byte of its files; what else lies beside them does not matter.

        Raises:
            InputError: there is no such version, or it is damaged.
        """
        recipe, folder = self.read(id, version), self.folder(id, version)
        try:
            refuse_other_than_folder(folder / BANKS)
            for name, expected in recipe.files.items():
                verify_file(folder / name, expected)
        except OSError as error:
            raise InputError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
        return recipe

    def _newest_versions(self) -> list[ListedVersion]:
        return self._versions_that_count(self.newest)[0]

    def _versions_that_count(
        self, version_of: Callable[[str], int]
    ) -> tuple[list[ListedVersion], InputError | None]:
        """One of each recipe; and why that of another one cannot be known."""
        listed: list[ListedVersion] = []
        unknown: InputError | None = None
        for name in self.ids():
            try:
                listed.append(self._list(name, version_of(name)))
            except InputError as error:
                unknown = error
        return listed, unknown

    def _list(self, id: str, version: int) -> ListedVersion:  # noqa: A002
        try:
            return ListedVersion(id, version, self.read(id, version), None)
        except InputError as error:
            return ListedVersion(id, version, None, str(error))
