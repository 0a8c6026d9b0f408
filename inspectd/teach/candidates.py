"""Candidates: banks built from the images of one in use and the parts that people confirmed as good."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from inspectd.bank.answers import SHORT
from inspectd.bank.file import BankFile, Taught, read_bank, write_bank
from inspectd.errors import InputError, UnavailableError
from inspectd.files import make_folder
from inspectd.recipes.audit import AuditRecord
from inspectd.recipes.canonical import Digest
from inspectd.recipes.version import CameraRecipe
from inspectd.teach.image_lists import ImageList, read_list
from inspectd.teach.place import LONG_WORK_SECONDS, TeachPlace
from inspectd.teach.roles import Person
from inspectd.teach.sealed import read_sealed, seal_of, write_sealed

BANK: Final = "bank.safetensors"
FACTS: Final = "candidate.json"
_NEW: Final = ".new-"
"""Begins the name of a folder that a bank is being written in."""
_PREFIX: Final = "candidate "
_DIGITS: Final = 6
"""Fewest that name a candidate."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bank that nothing judges by yet."""

    schema: Literal["teach_candidate/1"] = "teach_candidate/1"
    bank_sha256: Digest
    recipe: str
    recipe_version: int
    """Version whose bank it was made from, and whose place it is to take."""
    place: str
    base_bank_sha256: Digest
    threshold_before: float
    """In force as it was built: the recipe's own, or the bank's, of the version that judged then."""
    threshold: float
    threshold_basis: str
    taught: list[str]
    """Cases whose images it was taught, beside those that the bank before was taught without a case here."""
    unlike_the_rest: list[str]
    """Of these, whose images score as far above the bank's own as a defect may, by fits without them."""
    rows: dict[str, list[int]] | None
    """Of each picture it was taught, by its case: rows of this bank that it gave. None: its detector has no
    such rows."""
    drawn: int
    """Good parts drawn by chance that helped to set the threshold."""
    notes: list[str]

    @property
    def rise(self) -> float | None:
        """How much higher the threshold is than before, as a share; None: there is no such share."""
        if self.threshold_before <= 0:
            return None if self.threshold > self.threshold_before else 0.0
        return self.threshold / self.threshold_before - 1


@dataclass(frozen=True)
class Base:
    """What a candidate is made from.

    Attributes:
        settings: of the camera in that version.
        path: of its bank.
        bank: its content.
        images: its list.
    """

    recipe: str
    version: int
    place: str
    settings: CameraRecipe
    path: Path
    bank: BankFile
    images: ImageList


def find_base(place: TeachPlace, recipe: str, camera: str) -> Base:
    """The bank of a camera or region in the newest version of a recipe, and the list of its images.

    Raises:
        InputError: there is no such version or camera, it is damaged, or the bank's images are not kept.
    """
    version, settings, path = newest_bank(place, recipe, camera)
    bank = read_bank(path)
    return Base(recipe, version, camera, settings, path, bank, read_list(place, bank.sha256))


def newest_bank(place: TeachPlace, recipe: str, camera: str) -> tuple[int, CameraRecipe, Path]:
    """The newest version of a recipe, what it says of a camera or region, and the file of its bank.

    Raises:
        InputError: there is no such version or camera, or it is damaged.
    """
    version = place.recipes.newest(recipe)
    cameras = place.recipes.verify(recipe, version).cameras
    if camera not in cameras:
        names = ", ".join(sorted(cameras))
        raise InputError(f"{recipe}@{version}: has no camera {camera[:100]!r}, expected one of {names}")
    return version, cameras[camera], place.recipes.folder(recipe, version) / cameras[camera].bank


def find_candidate(place: TeachPlace, word: str) -> tuple[Candidate, Path]:
    """A candidate by the first digits of its bank's sha256, and its folder.

    Raises:
        InputError: none, or several, are meant, or it was altered.
    """
    root = place.root / "candidates"
    names = sorted(path.name for path in root.glob("[!.]*")) if root.exists() else []
    found = [name for name in names if len(word) >= _DIGITS and name.startswith(word.lower())]
    if len(found) != 1:
        raise InputError(
            f"got candidate {word[:100]!r}, expected {_DIGITS} or more digits of one of: "
            f"{', '.join(name[:SHORT] for name in names) or 'none is there yet'}"
        )
    folder = root / found[0]
    candidate = _read(place, found[0], place.records())
    if candidate.bank_sha256 != read_bank(folder / BANK).sha256:
        raise InputError(f"{folder / BANK}: is another bank than {FACTS} says; build the candidate again")
    return candidate, folder


def keep_candidate(place: TeachPlace, candidate: Candidate, bank: BankFile, person: Person) -> None:
    """Keep a candidate's bank and what is said of it, with the record that it was built.

    What counts is a file that has its record. Whatever ends this in between leaves what was there: of a new
    candidate a file that no record names, of one that is built again the file of before, whose record stays.
    A command that is at work is waited for: the build took longer.

    Raises:
        InputError: the audit file was altered.
        UnavailableError: it cannot be written, or another command is at work for minutes.
    """
    what, path = candidate_object(candidate.bank_sha256), _facts(place, candidate.bank_sha256)
    with _written(place, bank) as written, place.alone(LONG_WORK_SECONDS):
        make_folder(path.parent)
        written.replace(path.with_name(BANK))
        is_known = any(
            record.object == what and (record.new or "").startswith("built ") for record in place.records()
        )
        if not is_known:
            write_sealed(path, candidate)
        place.record(what, f"built {seal_of(candidate)}", person, candidate.base_bank_sha256)
        if is_known:
            write_sealed(path, candidate)


@contextmanager
def _written(place: TeachPlace, bank: BankFile) -> Iterator[Path]:
    """A bank's file beside its place: it takes long, and people's answers are taken meanwhile.

    Raises:
        UnavailableError: it cannot be written, or not be put in its place.
    """
    root = place.root / "candidates"
    try:
        make_folder(root)
        with (
            _locked(root, fcntl.LOCK_SH),
            tempfile.TemporaryDirectory(prefix=_NEW, dir=root, ignore_cleanup_errors=True) as folder,
        ):
            write_bank(path := Path(folder) / BANK, bank.manifest, bank.tensors)
            yield path
    except OSError as error:
        raise UnavailableError(f"{root}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _locked(root: Path, how: int) -> Iterator[None]:
    """Whoever writes a bank beside its place shares the folder; whoever removes such has it alone."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def remove_unfinished(place: TeachPlace) -> None:
    """Remove banks of which nothing is said: the build that wrote them was killed.

    What has a file that no record names stays: it may be the audit file that lacks something.

    Raises:
        UnavailableError: they cannot be removed, or another command is at work.
    """
    root = place.root / "candidates"
    try:
        if not root.is_dir():
            return
        with place.alone(), _locked(root, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for folder in root.glob("*"):
                if not folder.is_symlink() and folder.is_dir() and not (folder / FACTS).exists():
                    shutil.rmtree(folder)
    except BlockingIOError as error:
        raise UnavailableError(f"{root}: a candidate is being written; try again") from error
    except OSError as error:
        raise UnavailableError(
            f"{error.filename or root}: cannot be removed: {error.strerror or error}"
        ) from error


def list_candidates(place: TeachPlace) -> list[Candidate]:
    """What is said of every candidate, in the order they were built; their banks are not read.

    Raises:
        InputError: one was altered.
    """
    records = place.records()
    built = dict.fromkeys(
        record.object.removeprefix(_PREFIX)
        for record in records
        if record.object is not None
        and record.object.startswith(_PREFIX)
        and (record.new or "").startswith("built ")
    )
    return [_read(place, sha256, records) for sha256 in built]


def _read(place: TeachPlace, sha256: str, records: Sequence[AuditRecord]) -> Candidate:
    """What a candidate's file says, if that is what the audit file has."""
    path = _facts(place, sha256)
    candidate, seal = read_sealed(path, Candidate)
    said = [record.new for record in records if record.object == f"{_PREFIX}{sha256}"]
    if not any((new or "").split(" ")[:2] == ["built", seal] for new in said):
        raise InputError(f"{path}: is not what the audit file has; build the candidate again")
    return candidate


def _facts(place: TeachPlace, sha256: str) -> Path:
    return place.root / "candidates" / sha256 / FACTS


def case_of(image: Taught) -> str:
    """The case whose picture a bank was taught."""
    return image.name.removesuffix(".png")


def candidate_object(bank_sha256: str) -> str:
    """What records about a candidate have as their object."""
    return f"{_PREFIX}{bank_sha256}"
