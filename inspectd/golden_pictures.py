"""What identifies how cameras make their pictures: a golden check proves something of those alone.

A reload tells which cameras it changes. A restart cannot, so the record of a check has what it was shown by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from inspectd.config import Camera, Settings
from inspectd.config.sources import masked
from inspectd.golden.schedule import GoldenPast, GoldenSubject
from inspectd.recipes.book import title_of
from inspectd.recipes.line_file import FileStamp

_OF_RECIPES: Final = "recipe"
"""The setting of a camera and its regions that says nothing of their pictures."""

Files = Mapping[str, Sequence[FileStamp | None]]
"""That each camera's pictures are made by, by its name."""


class CameraPictures:
    """How a line's cameras make their pictures now: by which settings, and by which files.

    Args:
        cameras: the line's.
        files: see `Files`.
    """

    def __init__(self, cameras: Iterable[Camera], files: Files) -> None:
        cameras = list(cameras)
        self._places = {camera.name: frozenset(camera.places) for camera in cameras}
        self._digests: dict[str, str] = {}
        self.change(cameras, files)

    def change(self, cameras: Iterable[Camera], files: Files) -> None:
        """These make them otherwise from now on."""
        self._digests |= {camera.name: _digest(camera, files.get(camera.name, ())) for camera in cameras}

    def sha256_of(self, recipe: str, in_force: Mapping[str, str]) -> str:
        """Identifies the pictures of the cameras that a recipe in force judges, or may judge by a trigger.

        Args:
            recipe: its name.
            in_force: the key of the recipe that judges each place.
        """
        judged = {place for place, key in in_force.items() if title_of(key)[0] == recipe}
        names = [name for name, of_it in self._places.items() if judged & of_it or not judged]
        text = msgspec.json.encode({name: self._digests[name] for name in names}, order="sorted")
        return hashlib.sha256(text).hexdigest()

    def alike(
        self, subjects: Iterable[GoldenSubject], past: Mapping[str, GoldenPast], in_force: Mapping[str, str]
    ) -> list[GoldenSubject]:
        """Those whose pictures are made as when they passed last, as far as that is known.

        Args:
            subjects: what is in force.
            past: what is recorded, by the subject's sha256.
            in_force: as of `sha256_of`.
        """
        was = {sha256: of_it.pictures_sha256 for sha256, of_it in past.items()}
        return [
            subject
            for subject in subjects
            if was.get(subject.sha256, "") in {"", self.sha256_of(subject.recipe, in_force)}
        ]


def _digest(camera: Camera, files: Iterable[FileStamp | None]) -> str:
    # Not where a file lies: a disk that is mounted anew, or a copy of it, makes the same pictures.
    stamps = [None if stamp is None else (stamp.size_bytes, stamp.modified_ns) for stamp in files]
    said = [camera.__struct_config__.tag, _said(camera), stamps]
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def _said(value: Any) -> Any:
    """Settings without those at their defaults: a version that has more of them makes the same of a file."""
    if isinstance(value, Settings):
        return {
            field.name: _said(given)
            for field in msgspec.structs.fields(value)
            if field.name != _OF_RECIPES and (given := getattr(value, field.name)) not in (field.default, {})
        }
    if isinstance(value, tuple):
        return [_said(each) for each in value]
    return masked(value) if isinstance(value, str) else value
