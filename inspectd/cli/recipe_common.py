"""Shared by the recipe commands and `inspectd audit`: where a line keeps both, and names of versions."""

from __future__ import annotations

import re
import textwrap
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import msgspec

from inspectd import config
from inspectd.cli.line_folders import evidence_place, kept_by, state_place
from inspectd.errors import InputError
from inspectd.recipes.audit import FILE_NAME, InForce, in_force, last_import
from inspectd.recipes.meaning import MeantVersions
from inspectd.recipes.reading import RecipeReader
from inspectd.recipes.store import RecipeStore
from inspectd.recipes.version import RecipeVersion

WIDTH: Final = 80
_LONG_SHA256: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


class LineState:
    """What a line keeps that the recipe commands read.

    Attributes:
        kept: where it keeps what it keeps, by its configuration file.
        evidence: the directory of its evidence.
        store: its recipes.
        audit: its audit file.
        meant: which version of a recipe its id alone means.
    """

    def __init__(self, file: Path) -> None:
        """Find the state of the line whose configuration `file` is.

        Raises:
            ConfigError: the file cannot be used.
            UnavailableError: nothing names a directory for the state.
        """
        self.kept = kept_by(file)
        self._file = file
        state = state_place(self.kept.line, file)
        self.evidence = evidence_place(self.kept, file)
        self.audit = state / FILE_NAME
        self.meant = MeantVersions(RecipeReader(state / "recipes"), self.audit)
        self.store = RecipeStore(
            state / "recipes", given=partial(last_import, self.audit), meant=self.meant.version_of
        )

    @cached_property
    def settings(self) -> config.Config:
        """The whole configuration, for what judges by it.

        Raises:
            ConfigError: it has a problem.
        """
        return config.load(self._file)


def version_named(line: LineState, text: str, *, is_newest_meant: bool = False) -> tuple[str, int]:
    """The recipe and version of `ID` or `ID@VERSION`; `ID` alone means what a line means by it.

    Its number may stand for `ID`, where no recipe has that for its name.

    Args:
        line: whose recipes they are.
        text: names one.
        is_newest_meant: `ID` alone means the newest version all the same.

    Raises:
        InputError: it is neither, there is no such recipe, or nobody can know which version is meant.
        UnavailableError: the store or the audit file cannot be read now.
    """
    name, at, version = text.partition("@")
    if at and not _is_number(version):
        raise InputError(f"got {text[:200]!r}, expected ID or ID@VERSION such as cells@3")
    version_of = line.store.newest if at or is_newest_meant else line.meant.version_of
    if not line.store.versions(name):
        if _is_number(name):
            name = line.store.by_number(int(name), version_of)
        elif name in line.kept.recipes:
            raise InputError(
                f"{name} is a recipe of the configuration file, and none of the store: the file's recipes "
                "are put in force together, by the name `file`"
            )
    return name, int(version) if at else version_of(name)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def in_force_if_known(audit: Path) -> tuple[InForce | None, InputError | None]:
    """What the audit file says is in force; or why nobody can know, to be told after what else there is.

    Raises:
        UnavailableError: the file cannot be read now.
    """
    try:
        return in_force(audit), None
    except InputError as error:
        return None, error


def told(recipe: RecipeVersion) -> dict[str, Any]:
    """All that a version says, and the digest by which the same one is known elsewhere, for `--json`."""
    return {**msgspec.structs.asdict(recipe), "content_sha256": recipe.content_sha256}


def is_in_force(force: InForce | None, recipe: RecipeVersion | None) -> bool:
    """Whether this very version is in force, and no other of the same name."""
    if force is None or recipe is None:
        return False
    return (force.id, force.version, force.sha256) == (recipe.id, recipe.version, recipe.sha256)


def shortened(text: str) -> str:
    """The text with 12 digits of every sha256 in it."""
    return _LONG_SHA256.sub(r"\1", text)


def wrapped(text: str, indent: int, hanging: int = 2) -> list[str]:
    """Lines of at most 80 columns, indented by so many, all but the first one by `hanging` more."""
    first, rest = " " * indent, " " * (indent + hanging)
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)
