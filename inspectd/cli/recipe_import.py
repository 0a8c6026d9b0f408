"""`inspectd recipe import`: make the next version of a recipe from a TOML file or an archive."""

from __future__ import annotations

import argparse
import os
from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from inspectd.bank.file import BankFile, read_bank
from inspectd.bank.reach import Reach, admit_threshold
from inspectd.bank.weights import refuse_without_weights
from inspectd.cli.bank_common import Steps
from inspectd.cli.output import warn
from inspectd.cli.person import command_door, user_name
from inspectd.cli.recipe_common import LineState, told, wrapped
from inspectd.config import (
    Camera,
    CameraRecipeSettings,
    Name,
    RecipeSettings,
    problems,
    settings_by_camera,
)
from inspectd.errors import ExitCode, InputError
from inspectd.recipes.archive import is_archive
from inspectd.recipes.audit import AuditAction, AuditEntry, recorded_change
from inspectd.recipes.recipe_file import CameraInFile, read_recipe_file
from inspectd.recipes.store import RecipeDraft
from inspectd.recipes.version import BANKS, CameraRecipe, RecipeNumber, RecipeVersion, recipe_of
from inspectd.text import counted, json_line

_LONG_BYTES: Final = 100_000_000
"""A copy of so much is shown as a bar."""


def main(arguments: argparse.Namespace) -> int:
    """Make the version, once its banks and thresholds were found to be usable.

    Raises:
        InputError: the source, a bank or a threshold cannot be used, or does not fit the line.
        UnavailableError: the store is in use, or it or the audit file cannot be written.
    """
    wrong = [
        problem
        for name, kind in (("id", Name), ("number", RecipeNumber))
        if (value := getattr(arguments, name)) is not None
        for problem in problems(value, kind, f"--{name}")
    ]
    if wrong:
        raise InputError("; ".join(wrong))
    line = LineState(arguments.config)
    admission = _Admission(line.settings.cameras)
    who = arguments.who or user_name()
    with ExitStack() as stack:
        bars: list[Steps] = []

        def progress(done_bytes: int, total_bytes: int) -> None:
            if total_bytes >= _LONG_BYTES:
                if not bars:
                    bars.append(stack.enter_context(Steps()))
                bars[0]("MB copied", done_bytes // 1_000_000, total_bytes // 1_000_000)

        def admit(folder: Path, recipe: RecipeVersion) -> None:
            """Once this returns the version appears: without its record it does not."""
            admission(folder, recipe)
            stack.enter_context(recorded_change(line.audit, _entry(recipe, command_door(arguments.who))))

        if is_archive(arguments.source):
            recipe = line.store.import_archive(
                arguments.source, who=who, why=arguments.why, id=arguments.id, number=arguments.number,
                admit=admit, progress=progress,
            )  # fmt: skip
        else:
            recipe = line.store.add(_draft(arguments, who, admission), admit, progress)
    if arguments.json:
        print(json_line(told(recipe)))
        return ExitCode.OK
    total_bytes = sum(file.bytes for file in recipe.files.values())
    print(
        f"{recipe}, number {recipe.number}: imported, {counted(len(recipe.cameras), 'camera')}, "
        f"{counted(len(recipe.files), 'bank')} of {total_bytes / 1e6:.1f} MB"
    )
    for name, reach in admission.reaches.items():
        print("\n".join(wrapped(f"{name}: {reach}", 2)))
        if reach.warning and not recipe.cameras[name].accept_threshold:
            warn(f"{name}: {reach.warning}")
    return ExitCode.OK


def _entry(recipe: RecipeVersion, door: str) -> AuditEntry:
    parent = None if recipe.parent is None else f"{recipe.id}@{recipe.parent}"
    new = f"{recipe} {recipe.sha256}"
    return AuditEntry(AuditAction.IMPORT, recipe.who, door, recipe.id, parent, new, recipe.why)


class _Admission:
    """Looks at whether a line can judge by a recipe.

    At its cameras and what they are to be set to, every byte of its banks, its thresholds.

    Attributes:
        reaches: of the threshold of each camera, or of each of its regions, once it was looked at.
    """

    def __init__(self, cameras: Sequence[Camera]) -> None:
        """`cameras` are those of the line."""
        self._cameras = cameras
        self.reaches: dict[str, Reach] = {}

    def __call__(self, folder: Path, recipe: RecipeVersion) -> None:
        """Look at a version in its folder.

        Raises:
            InputError: the line cannot judge by it.
        """
        self.refuse_what_does_not_fit(recipe.cameras)
        for name in recipe.files:
            bank = read_bank(folder / name, is_ours=True)
            refuse_without_weights(folder / name, bank.manifest)
            for camera, settings in recipe.cameras.items():
                if settings.bank != name:
                    continue
                if settings.bank_sha256 != bank.sha256:
                    raise InputError(
                        f"bank {folder / name}: has sha256 {bank.sha256[:12]}..., expected "
                        f"{settings.bank_sha256[:12]}... of camera {camera}; import it anew"
                    )
                self.admit(recipe.id, camera, settings, folder / name, bank)

    def refuse_what_does_not_fit(self, cameras: Mapping[str, CameraRecipeSettings]) -> None:
        """Refuse a recipe that leaves out a camera of the line, or asks for what it does not have.

        Raises:
            InputError: it does.
        """
        places = {place for camera in self._cameras for place in camera.places}
        expected = ", ".join(sorted(places))
        for what, names in (
            ("has no table for", sorted(places - set(cameras))),
            ("has a table for", sorted(set(cameras) - places)),
        ):
            if names:
                raise InputError(
                    f"cameras: {what} {', '.join(names)[:300]}, expected one for each camera of the line and "
                    f"no other: {expected}"
                )
        settings_by_camera(self._cameras, cameras)

    def admit(self, recipe: str, camera: str, settings: RecipeSettings, path: Path, bank: BankFile) -> None:
        """Hold a camera's threshold against its bank.

        Raises:
            ThresholdError: nobody can mean it.
            BankError: its bank has nothing to hold it against.
        """
        judged = recipe_of(settings, f"{recipe}, camera {camera}", str(path))
        self.reaches[camera] = admit_threshold(judged, bank)


def _draft(arguments: argparse.Namespace, who: str, admission: _Admission) -> RecipeDraft:
    """What the TOML file asks for; banks are looked at where they lie, so that errors name them there.

    Raises:
        InputError: as `main`.
    """
    source = arguments.source
    file = read_recipe_file(source)
    name: str | None = file.id if arguments.id is None else arguments.id
    number: int | None = file.number if arguments.number is None else arguments.number
    if name is None or number is None:
        missing = [key for key, value in (("id", name), ("number", number)) if value is None]
        raise InputError(
            "; ".join(f"{source}: {key}: is missing, expected it there or as --{key}" for key in missing)
        )
    try:
        admission.refuse_what_does_not_fit(file.cameras)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    cameras: dict[str, CameraRecipe] = {}
    banks: dict[str, Path] = {}
    for of_file in _by_bank(file.cameras).values():
        # Cameras that share a bank file share the copy, which is named after the first of them.
        first = next(iter(of_file))
        bank_name, path = _bank_name(first, banks), Path(of_file[first].bank)
        bank = read_bank(path)
        banks[bank_name] = path
        for camera, settings in of_file.items():
            admission.admit(name, camera, settings, path, bank)
            given = {field: getattr(settings, field) for field in CameraRecipeSettings.__struct_fields__}
            cameras[camera] = CameraRecipe(bank=bank_name, bank_sha256=bank.sha256, **given)
    return RecipeDraft(id=name, number=number, cameras=cameras, banks=banks, who=who, why=arguments.why or "")


def _bank_name(place: str, taken: Container[str]) -> str:
    """The name of a bank's copy, which no other one has; a region's is one that a file may have."""
    stem = place.replace("/", "_")[:63]
    number = 1
    while (name := f"{BANKS}/{stem}.safetensors") in taken:
        number += 1
        stem = f"{place.replace('/', '_')[:58]}-{number}"
    return name


def _by_bank(cameras: dict[str, CameraInFile]) -> dict[str, dict[str, CameraInFile]]:
    """The cameras of each bank file, by its real path."""
    found: dict[str, dict[str, CameraInFile]] = {}
    for name, camera in cameras.items():
        found.setdefault(os.path.realpath(camera.bank), {})[name] = camera
    return found
