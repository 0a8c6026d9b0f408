"""Builds banks of what teaching keeps: candidates, and a bank again from the list of its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from inspectd.backends.precisions import prepare
from inspectd.bank.answers import digests_of
from inspectd.bank.built import Built
from inspectd.bank.file import BankFile, Manifest, write_bank
from inspectd.bank.progress import Progress
from inspectd.bank.rebuild import rebuild
from inspectd.errors import InputError
from inspectd.evaluation.line_rules import LineRules
from inspectd.files import temporary_folder
from inspectd.teach.candidates import BANK, Base, Candidate, case_of, keep_candidate
from inspectd.teach.cases import CaseBook, CaseState
from inspectd.teach.drawn_parts import threshold_with
from inspectd.teach.golden_images import golden_images, refuse_golden
from inspectd.teach.image_lists import ImageList, ListedImage, keep_list, list_of, listed_bank
from inspectd.teach.judging import judging
from inspectd.teach.place import TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.roles import Person, TeachAct, refuse_role

_THRESHOLD: Final = ("threshold", "threshold_basis", "threshold_with_outliers", "calibrated")
_HISTORY: Final = ("excluded", "outliers")


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
    """Build a candidate from all images of the newest bank and the confirmed good parts, and keep it.

    Args:
        place: the line's folder of teaching.
        base: the bank of the recipe's newest version.
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
    taught = _taught(base, book)
    _refuse_what_cannot_be_taught(base, cases, taught, drawn)
    files = {image.pixels_sha256: (image.image, image.name) for image in base.images.images}
    files |= {each.case.pixels_sha256: (each.case.image, f"{each.case.id}.png") for each in cases}
    refuse_golden(place, {digest: f"image {files[digest][1]} to be taught" for digest in taught})
    golden = {image.pixels_sha256 for image in golden_images(place)}
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
        notes.append("calibrate had set the threshold of the bank before; this one is by the default rule")
    helped: list[ListedImage] = []
    if drawn:
        line = LineRules.of(any_size=base.settings.any_size, quality_off=base.settings.quality_off)
        manifest, helped, left_out = threshold_with(
            place, built, manifest, drawn=drawn, refused={*digests, *golden}, line=line, device=device,
            cases={
                each.case.pixels_sha256: f"case {each.case.id}, {each.state} as {each.case.answer}"
                for each in book.all()
            },
        )  # fmt: skip
        notes += left_out
    with temporary_folder() as folder:  # its digest names its folder, and only the writer knows it
        sha256 = write_bank(Path(folder) / BANK, manifest, built.arrays)
    known = {image.sha256 for image in manifest.taught if image.unlike_the_rest}
    candidate = Candidate(
        bank_sha256=sha256, recipe=base.recipe, recipe_version=base.version, place=base.place,
        base_bank_sha256=base.bank.sha256, threshold=manifest.threshold,
        threshold_before=judging(place, base.recipe, base.place, base.version).threshold,
        threshold_basis=manifest.threshold_basis,
        taught=[each.case.id for each in cases],
        unlike_the_rest=[each.case.id for each in cases if each.case.pixels_sha256 in known],
        rows=_rows(manifest, built), drawn=len(helped), notes=notes,
    )  # fmt: skip
    bank = BankFile(manifest, built.arrays, sha256)
    keep_list(place, list_of(bank, files, helped, base.bank.sha256))
    keep_candidate(place, candidate, bank, person)
    return candidate


def rebuild_listed(
    place: TeachPlace,
    images: ImageList,
    out: Path,
    *,
    memory_gb: float,
    device: str,
    progress: Progress,
) -> str:
    """Build a bank again from its list, and write it if it is the same one bit for bit.

    Returns:
        Its sha256; if that is not the list's, nothing was written: no threshold is known to fit its scores.

    Raises:
        BankError: the weights of its backbone are not those it was built with.
        InputError: an image is missing or was altered.
        UnavailableError: the file cannot be written.
    """
    bank = listed_bank(images)
    paths = [place.images.path(image.image) for image in images.images]
    built = rebuild(out, bank, paths, prepare=prepare, memory_gb=memory_gb, device=device, progress=progress)
    was = images.manifest
    # A threshold that somebody set, or that drawn parts helped to set, is as it was; names of files are too.
    kept = {name: getattr(was, name) for name in (*_THRESHOLD, *_HISTORY)}
    by_sha256 = {image.sha256: image for image in was.taught}
    taught = tuple(
        msgspec.structs.replace(image, name=by_sha256[image.sha256].name) for image in built.manifest.taught
    )
    manifest = msgspec.structs.replace(built.manifest, taught=taught, **kept)
    with temporary_folder() as folder:  # only the writer knows its digest
        sha256 = write_bank(Path(folder) / "bank", manifest, built.arrays)
    return write_bank(out, manifest, built.arrays) if sha256 == images.bank_sha256 else sha256


def _taught(base: Base, book: CaseBook) -> list[str]:
    """sha256 of the pixels of what the candidate is taught: what the bank was, without cases taken back."""
    confirmed = [each.case.pixels_sha256 for each in book.confirmed(base.recipe, base.place, "good")]
    gone = {each.case.pixels_sha256 for each in book.taken_back(base.recipe, base.place)}
    before = [image.sha256 for image in base.bank.manifest.taught if image.sha256 not in gone]
    return list(dict.fromkeys([*before, *confirmed]))


def _refuse_what_cannot_be_taught(
    base: Base, cases: Sequence[CaseState], taught: Sequence[str], drawn: Sequence[Path]
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
    if gone := {image.sha256 for image in base.bank.manifest.excluded}.intersection(taught):
        names = ", ".join(each.case.id for each in cases if each.case.pixels_sha256 in gone)
        raise InputError(
            f"case {names}: its picture was taken out of the bank as one that shows a defect, expected that "
            "it is not taught: withdraw the case (`inspectd teach withdraw`)"
        )


def _rows(manifest: Manifest, built: Built) -> dict[str, list[int]] | None:
    """Rows that each taught picture gave, by its case; of a bank taught elsewhere by its file's name."""
    if built.taught_rows is None:
        return None
    rows: dict[str, list[int]] = {}
    for image in manifest.taught:
        rows.setdefault(case_of(image), []).extend(built.taught_rows[image.sha256])
    return rows


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
