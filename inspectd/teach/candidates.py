"""Candidates: banks built from the images of one in use and the parts that people confirmed as good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from inspectd.backends.precisions import prepare
from inspectd.bank.answers import SHORT, digests_of
from inspectd.bank.build import Built, Progress
from inspectd.bank.file import BankFile, Manifest, read_bank, write_bank
from inspectd.bank.rebuild import rebuild
from inspectd.errors import InputError
from inspectd.files import temporary_folder
from inspectd.recipes.audit import AuditRecord
from inspectd.recipes.canonical import Digest
from inspectd.recipes.version import CameraRecipe
from inspectd.teach.cases import CaseBook, CaseState
from inspectd.teach.drawn_parts import threshold_with
from inspectd.teach.golden_images import golden_images
from inspectd.teach.image_lists import ImageList, ListedImage, keep_list, list_of, read_list
from inspectd.teach.place import TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.roles import Person, TeachAct, refuse_role
from inspectd.teach.sealed import read_sealed, write_sealed

BANK: Final = "bank.safetensors"
FACTS: Final = "candidate.json"
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
    """In force: the recipe's own, or the bank's."""
    threshold: float
    threshold_basis: str
    taught: list[str]
    """Cases whose images it was taught, beside those that the bank before was taught without a case here."""
    unlike_the_rest: list[str]
    """Of these, whose images score as far above the bank's own as a defect may, by fits without them."""
    rows: dict[str, list[int]] | None
    """Of each case that the bank before was taught without: rows of this bank that its image gave it. None:
    its detector has no such rows."""
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
    version, settings, path = bank_in_use(place, recipe, camera)
    bank = read_bank(path)
    return Base(recipe, version, camera, settings, path, bank, read_list(place, bank.sha256))


def bank_in_use(place: TeachPlace, recipe: str, camera: str) -> tuple[int, CameraRecipe, Path]:
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


def build_candidate(
    place: TeachPlace,
    base: Base,
    person: Person,
    *,
    drawn: Sequence[Path] = (),
    memory_gb: float,
    device: str,
    progress: Progress,
) -> Candidate:
    """Build a candidate from all images of the bank in use and the confirmed good parts, and keep it.

    Args:
        place: the line's folder of teaching.
        base: the bank in use.
        person: who does it.
        drawn: images of good parts drawn by chance, which help to set the threshold and give no row.
        memory_gb: limit of the build.
        device: `cpu` or `cuda:N`.
        progress: called with every step's progress.

    Raises:
        InputError: the role may not, there is nothing to teach, or an image cannot be used.
        UnavailableError: it cannot be kept.
    """
    refuse_role(TeachAct.BUILD, person)
    book = CaseBook(place)
    cases = book.confirmed(base.recipe, base.place, "good")
    taught = _taught(base, cases, book.all())
    golden = {image.pixels_sha256 for image in golden_images(place)}
    _refuse_what_cannot_be_taught(base, cases, taught, golden, drawn)
    files = {image.pixels_sha256: (image.image, image.name) for image in base.images.images}
    files |= {each.case.pixels_sha256: (each.case.image, f"{each.case.id}.png") for each in cases}
    digests = [*digests_of(base.bank), *taught]
    built = rebuild(
        base.path, base.bank, [place.images.path(files[digest][0]) for digest in digests], taught=taught,
        prepare=prepare, memory_gb=memory_gb, device=device, progress=progress,
    )  # fmt: skip
    manifest = _named(built.manifest, base, cases)
    limits = {"threshold": base.settings.threshold, "check_above": base.settings.check_above}
    notes = [
        f"{name} {limit:g} of the recipe is left out: the scores of another bank have another scale"
        for name, limit in limits.items()
        if limit is not None
    ]
    if base.bank.manifest.is_calibrated:
        notes.append("calibrate had set the threshold of the bank in use; this one is by the default rule")
    helped: list[ListedImage] = []
    if drawn:
        manifest, helped, left_out = threshold_with(
            place, built, manifest, drawn=drawn, refused={*digests, *golden}, device=device
        )
        notes += left_out
    with temporary_folder() as folder:  # its digest names its folder, and only the writer knows it
        sha256 = write_bank(Path(folder) / BANK, manifest, built.arrays)
    root = place.root / "candidates" / sha256
    write_bank(root / BANK, manifest, built.arrays)
    known = {image.sha256 for image in manifest.taught if image.unlike_the_rest}
    candidate = Candidate(
        bank_sha256=sha256, recipe=base.recipe, recipe_version=base.version, place=base.place,
        base_bank_sha256=base.bank.sha256, threshold=manifest.threshold,
        threshold_before=_in_force(base), threshold_basis=manifest.threshold_basis,
        taught=[each.case.id for each in cases],
        unlike_the_rest=[each.case.id for each in cases if each.case.pixels_sha256 in known],
        rows=_rows_of_new(base, built, cases), drawn=len(helped), notes=notes,
    )  # fmt: skip
    bank = BankFile(manifest, built.arrays, sha256)
    keep_list(place, list_of(bank, files, helped, base.bank.sha256))
    with place.alone():
        seal = write_sealed(root / FACTS, candidate)
        place.record(f"{_PREFIX}{sha256}", f"built {seal}", person, base.bank.sha256)
    return candidate


def find_candidate(place: TeachPlace, word: str) -> tuple[Candidate, Path]:
    """A candidate by the first digits of its bank's sha256, and its folder.

    Raises:
        InputError: none, or several, are meant, or it was altered.
    """
    root = place.root / "candidates"
    names = sorted(path.name for path in root.glob("*")) if root.exists() else []
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
    path = place.root / "candidates" / sha256 / FACTS
    candidate, seal = read_sealed(path, Candidate)
    said = [record.new for record in records if record.object == f"{_PREFIX}{sha256}"]
    if not any((new or "").split(" ")[:2] == ["built", seal] for new in said):
        raise InputError(f"{path}: is not what the audit file has; build the candidate again")
    return candidate


def candidate_object(bank_sha256: str) -> str:
    """What records about a candidate have as their object."""
    return f"{_PREFIX}{bank_sha256}"


def _in_force(base: Base) -> float:
    own = base.settings.threshold
    return base.bank.manifest.threshold if own is None else own


def _taught(base: Base, cases: Sequence[CaseState], all_cases: Sequence[CaseState]) -> list[str]:
    """sha256 of the pixels of what the candidate is taught: what the bank was, without cases taken back."""
    confirmed = [each.case.pixels_sha256 for each in cases]
    gone = {each.case.pixels_sha256 for each in all_cases if each.state == "withdrawn"} - set(confirmed)
    before = [image.sha256 for image in base.bank.manifest.taught if image.sha256 not in gone]
    return list(dict.fromkeys([*before, *confirmed]))


def _refuse_what_cannot_be_taught(
    base: Base, cases: Sequence[CaseState], taught: Sequence[str], golden: set[str], drawn: Sequence[Path]
) -> None:
    if list(taught) == [image.sha256 for image in base.bank.manifest.taught] and not drawn:
        raise TeachRefusedError(
            "nothing_new",
            f"{base.recipe}@{base.version}, {base.place}: no confirmed case is new, expected one or more",
        )
    if cases and base.bank.manifest.bit_depth > 8:
        raise InputError(
            f"{base.place}: its bank is of images of {base.bank.manifest.bit_depth} bits, expected 8: "
            "evidence has no more"
        )
    if spoilt := golden.intersection(taught):
        raise InputError(f"image {min(spoilt)[:SHORT]}: is of the golden set, which is never taught")


def _rows_of_new(base: Base, built: Built, cases: Sequence[CaseState]) -> dict[str, list[int]] | None:
    """Rows that each case gave, of those that the bank in use was not taught."""
    if built.taught_rows is None:
        return None
    before = {image.sha256 for image in base.bank.manifest.taught}
    return {
        each.case.id: built.taught_rows[each.case.pixels_sha256]
        for each in cases
        if each.case.pixels_sha256 not in before
    }


def _named(manifest: Manifest, base: Base, cases: Sequence[CaseState]) -> Manifest:
    """The manifest with the names that images had before they were kept under their digests."""
    names = {image.pixels_sha256: image.name for image in base.images.images}
    names |= {each.case.pixels_sha256: f"{each.case.id}.png" for each in cases}
    return msgspec.structs.replace(
        manifest,
        outliers=tuple(
            msgspec.structs.replace(image, name=names[image.sha256]) for image in manifest.outliers
        ),
        taught=tuple(msgspec.structs.replace(image, name=names[image.sha256]) for image in manifest.taught),
    )
