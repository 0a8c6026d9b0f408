"""Builds a bank again by its manifest: without some images, with more taught ones, in another precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.answers import SHORT, digests_of, outliers_of
from inspectd.bank.blind import refuse_blind
from inspectd.bank.build import BankBuilder
from inspectd.bank.build_spec import BuildSpec, Prepare
from inspectd.bank.built import Built
from inspectd.bank.file import GOOD_SCORES, IMAGE_PARTS, BankFile, Excluded
from inspectd.bank.image_records import file_name
from inspectd.bank.images import digest_of, named_image, read_again
from inspectd.bank.progress import Progress
from inspectd.bank.weights import weights_of
from inspectd.errors import BankError, InputError
from inspectd.model.options import IMPORTED, WantedPrecision
from inspectd.quality.align import learn_aligned


def rebuild(
    path: Path,
    bank: BankFile,
    images: Sequence[Path],
    *,
    without: Sequence[int] = (),
    taught: Sequence[str] | None = None,
    precision: WantedPrecision | None = None,
    prepare: Prepare,
    memory_gb: float,
    device: str,
    progress: Progress,
) -> Built:
    """A bank of the same images, or all but some, with the same settings and seed; no file is written.

    Args:
        path: the bank file, for messages.
        bank: its content.
        images: files among which are all that stay, known by their pixels; the rest of them is left out.
        without: rows of the images that leave it.
        taught: sha256 of the pixels of all images that are taught, in place of those that were; None: these.
        precision: of its backbone; None: as before.
        prepare: see `BankBuilder`.
        memory_gb: limit of the build.
        device: `cpu` or `cuda:N`.
        progress: called with every step's progress.

    Raises:
        BankError: the backbone's weights are not those the bank was built with.
        InputError: images are missing, too few are left, one was changed meanwhile, the precision cannot be
            had, or nothing could fail under the new bank.
        UnavailableError: this processor does not compute in that precision.
    """
    if bank.manifest.detector == IMPORTED:
        raise InputError(
            f"bank {path}: is a model that was trained elsewhere, and learns of no image: import it again "
            "with the good images that it is to be judged by (inspectd bank import)"
        )
    digests, gone = digests_of(bank), set(without)
    kept = [digest for row, digest in enumerate(digests) if row not in gone]
    taught = [image.sha256 for image in bank.manifest.taught] if taught is None else taught
    both = set(kept).intersection(taught)
    if both:
        raise InputError(
            f"image {min(both)[:SHORT]}: is one that bank {path} was built from: nothing to teach"
        )
    found = _found(images, bank.manifest.bit_depth, progress)
    missing = [digest for digest in (*kept, *taught) if digest not in found]
    if missing:
        raise InputError(
            f"--images: {len(missing)} of the {len(digests) + len(taught)} images bank {path} was built "
            f"from are not there (the first has the sha256 {missing[0][:SHORT]}), expected all but those "
            "that leave it"
        )
    unlike, scores = outliers_of(bank), bank.tensors[GOOD_SCORES]
    excluded = tuple(
        Excluded(
            file_name(str(found[digests[row]])) if digests[row] in found else _known_name(bank, digests[row]),
            digests[row],
            float(scores[row]),
        )
        for row in without
    )
    accepted = frozenset(image.sha256 for image in unlike.values() if image.status == "accepted")
    spec = _spec(path, bank, excluded, accepted, memory_gb)
    spec = replace(
        spec,
        taught=frozenset(taught),
        precision=precision or spec.precision,
        parts=_parts(bank, {digest: str(found[digest]) for digest in kept}),
    )
    builder = BankBuilder(spec, device, prepare)
    if builder.weights_sha256 != bank.manifest.weights_sha256:
        raise BankError(
            f"bank {path}: was built with weights {bank.manifest.weights_sha256[:SHORT]}... of "
            f"{bank.manifest.backbone}, here are {builder.weights_sha256[:SHORT]}...; use the same weights"
        )
    frames = (_same_image(found[digest], bank.manifest.bit_depth, digest) for digest in (*kept, *taught))
    aligned = None
    if bank.manifest.quality is not None and bank.manifest.quality.aligned:
        again = (_same_image(found[digest], bank.manifest.bit_depth, digest) for digest in kept)
        aligned = learn_aligned(again, spec.patches.region, spec.parts)
        if aligned is None:
            raise InputError(f"bank {path}: is aligned, and the images that stay cannot be; build it anew")
    built = builder.fit(frames, len(kept) + len(taught), progress, aligned)
    refuse_blind(built)
    return built


def _found(images: Sequence[Path], bit_depth: int, progress: Progress) -> dict[str, Path]:
    """Image files by the sha256 of their pixels; those that cannot be read are not of the bank."""
    found: dict[str, Path] = {}
    for done, path in enumerate(images, start=1):
        _, frame = named_image(path, bit_depth)
        if not isinstance(frame, str):
            found.setdefault(digest_of(frame), path)
        progress("images", done, len(images))
    return found


def _same_image(path: Path, bit_depth: int, sha256: str) -> tuple[str, NDArray[np.uint8]]:
    """An image read again; raises InputError where it is not the one that was found."""
    frame = read_again(path, bit_depth)
    if digest_of(frame) != sha256:
        raise InputError(f"{path}: was changed while the bank was built; nothing was written, try again")
    return str(path), frame


def _parts(bank: BankFile, names: Mapping[str, str]) -> dict[str, str] | None:
    """The part that each image shows, by its name, as the bank has it; None: that was not named.

    Args:
        bank: its content.
        names: of the images that stay, by the sha256 of their pixels.
    """
    if not bank.manifest.shows_rates:
        return None
    parts = bank.tensors.get(IMAGE_PARTS)
    if parts is None:
        return {name: digest for digest, name in names.items()}
    numbers = zip(digests_of(bank), parts, strict=True)
    return {names[digest]: str(part) for digest, part in numbers if digest in names}


def _known_name(bank: BankFile, digest: str) -> str:
    """What the manifest calls an image whose file is gone."""
    return next((image.name for image in bank.manifest.outliers if image.sha256 == digest), digest[:SHORT])


def _spec(
    path: Path, bank: BankFile, excluded: tuple[Excluded, ...], accepted: frozenset[str], memory_gb: float
) -> BuildSpec:
    manifest, mask = bank.manifest, bank.tensors.get("head.mask")
    return BuildSpec(
        detector=manifest.detector,
        options=manifest.options,
        head=manifest.head,
        patches=manifest.patch_options,
        backbone=manifest.backbone,
        layers=manifest.layers,
        weights=weights_of(path, manifest),
        height=manifest.input_height,
        width=manifest.input_width,
        coreset=manifest.rows if manifest.coreset_ratio is None else manifest.coreset_ratio,
        seed=manifest.seed,
        memory_gb=memory_gb,
        mask=None if mask is None or manifest.foreground else mask > 0,
        foreground=manifest.foreground,
        accepted=accepted,
        excluded=(*manifest.excluded, *excluded),
        bit_depth=manifest.bit_depth,
        precision=manifest.precision,
        settings_choice=manifest.settings_choice,
    )
