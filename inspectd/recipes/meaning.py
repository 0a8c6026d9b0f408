"""Which version of a recipe its id, or its number, means where no version is named."""

from __future__ import annotations

from pathlib import Path

from inspectd.errors import InputError
from inspectd.recipes.audit import InForce, changes_in_force, parse_in_force
from inspectd.recipes.book import FILE
from inspectd.recipes.reading import RecipeReader


class MeantVersions:
    """The version that was put in force last, of those that the store still holds; else the newest.

    So no change of product undoes a rollback, or puts in force what nobody has put in force by its version.
    The audit file is read once, when it first matters, and again after an error; what is put in force from
    then on has to be told.

    Args:
        store: the line's recipes.
        audit: the line's audit file.
    """

    def __init__(self, store: RecipeReader, audit: Path) -> None:
        self._store, self._audit = store, audit
        self._put_in_force: dict[str, dict[InForce, None]] | None = None

    def version_of(self, id: str) -> int:  # noqa: A002 - what it is called everywhere
        """The version that an id alone means, even if it is damaged.

        Raises:
            InputError: there is no such recipe, or the audit file was altered, so that nobody can know.
            UnavailableError: the store or the audit file cannot be read now.
        """
        versions = self._store.versions(id)
        if len(versions) < 2:
            return self._store.newest(id)
        known, damage = self._read()
        held = self._held(id, known)
        if damage is not None and held is None:
            raise InputError(
                f"nobody can know which version of {id} was in force last, so name the one that you mean "
                f"(of {', '.join(map(str, versions[-20:]))}): {damage}"
            ) from damage
        return self._store.newest(id) if held is None else held

    def of_those_put_in_force(self) -> tuple[dict[str, int], InputError | None]:
        """The version that each id means of which one was ever put in force.

        Returns:
            Them, what was in force last first, the configuration file with version 0 among them; and what is
            wrong with the audit file, so that there may be more.

        Raises:
            UnavailableError: the store or the audit file cannot be read now.
        """
        known, damage = self._read()
        held = {id: 0 if id == FILE else self._held(id, known) for id in known}  # noqa: A001 - as above
        return {id: version for id, version in held.items() if version is not None}, damage  # noqa: A001

    def note(self, in_force: InForce) -> None:
        """It was put in force just now."""
        if self._put_in_force is not None:
            before = self._put_in_force.pop(in_force.id, {})
            self._put_in_force = {in_force.id: {in_force: None, **before}, **self._put_in_force}

    def _held(self, id: str, known: dict[str, dict[InForce, None]]) -> int | None:  # noqa: A002
        return next((each.version for each in known.get(id, ()) if self._holds(each)), None)

    def _holds(self, in_force: InForce) -> bool:
        """Whether the store has this very version; of a damaged one nobody knows, and no other is taken."""
        if in_force.version not in self._store.versions(in_force.id):
            return False
        try:
            return self._store.read(in_force.id, in_force.version).sha256 == in_force.sha256
        except InputError:
            return True

    def _read(self) -> tuple[dict[str, dict[InForce, None]], InputError | None]:
        """Versions that were put in force, by id, the last one first; and what ended the reading early."""
        if self._put_in_force is not None:
            return self._put_in_force, None
        known: dict[str, dict[InForce, None]] = {}
        try:
            for record in changes_in_force(self._audit):
                found = parse_in_force(record.new or "", f"{self._audit}, record {record.seq}: ")
                known.setdefault(found.id, {})[found] = None
        except InputError as error:
            return known, error
        self._put_in_force = known
        return known, None
