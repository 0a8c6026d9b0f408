"""What judges parts of a recipe on a camera or region: every candidate is compared with that.

It need not be what the candidate is made from. That is the newest version, which judges nothing until it is
put in force, nor after it was rolled back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inspectd.bank.file import read_manifest
from inspectd.errors import InputError
from inspectd.recipes.meaning import MeantVersions
from inspectd.recipes.version import CameraRecipe
from inspectd.teach.place import TeachPlace


@dataclass(frozen=True)
class Judging:
    """The version of a recipe that judges.

    Attributes:
        version: of the recipe.
        settings: of the camera or region in that version.
        path: of its bank.
        note: what a person has to know of it; empty: candidates are made from it too.
    """

    version: int
    settings: CameraRecipe
    path: Path
    note: str

    @property
    def threshold(self) -> float:
        """In force with it: the recipe's own, or the bank's; raises BankError where that cannot be read."""
        own = self.settings.threshold
        return read_manifest(self.path).threshold if own is None else own


def judging(place: TeachPlace, recipe: str, camera: str, made_from: int) -> Judging:
    """The version that was put in force last by the line's audit file.

    Where none ever was, it is the one that a candidate is made from, or what that was before it was taught:
    what two people signed and nobody put in force judges nothing.

    Args:
        place: the line's folder of teaching.
        recipe: its name.
        camera: or region of one.
        made_from: version that a candidate is made from.

    Raises:
        InputError: the audit file or a version was altered, or that version is no more.
        UnavailableError: the store or the audit file cannot be read now.
    """
    held, damage = MeantVersions(place.recipes, place.audit).of_those_put_in_force()
    if damage is not None and recipe not in held:
        raise InputError(
            f"nobody can know which version of {recipe} judges, so there is nothing to compare with; restore "
            f"a copy of the audit file: {damage}"
        ) from damage
    version, note = held.get(recipe), ""
    if version is None or camera not in place.recipes.read(recipe, version).cameras:
        version = _before_teaching(place, recipe, made_from)
        note = (
            f"no version of {recipe} with {camera} was ever put in force, so what judges is not known: "
            f"everything is compared with {recipe}@{version}"
        )
    elif version != made_from:
        note = (
            f"the candidate is made from {recipe}@{made_from}, which is not in force: everything is compared "
            f"with {recipe}@{version}, which is. What @{made_from} was taught comes with the candidate; "
            "withdraw the cases that should not"
        )
    settings = place.recipes.read(recipe, version).cameras[camera]
    return Judging(version, settings, place.recipes.folder(recipe, version) / settings.bank, note)


def _before_teaching(place: TeachPlace, recipe: str, version: int) -> int:
    """A version; of one that two people signed that which it was made from, as far as the store has it."""
    signed = {
        words[1] for record in place.records() if (words := (record.new or "").split(" "))[0] == "approved"
    }
    while f"{recipe}@{version}" in signed:
        parent = place.recipes.read(recipe, version).parent
        if parent is None or parent not in place.recipes.versions(recipe):
            break
        version = parent
    return version
