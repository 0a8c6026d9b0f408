"""The list of a bank's images: what it was built from and how, enough to build it again bit for bit."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.bank.answers import SHORT, digests_of
from inspectd.bank.file import (
    GOOD_SCORES,
    IMAGE_DIGESTS,
    IMAGE_PARTS,
    BankFile,
    Manifest,
    good_scores,
    read_bank,
)
from inspectd.bank.images import digest_of, named_image
from inspectd.bank.progress import Progress
from inspectd.errors import BankError, InputError
from inspectd.recipes.canonical import Digest
from inspectd.teach.place import LONG_WORK_SECONDS, TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.roles import Person, TeachAct, refuse_role
from inspectd.teach.sealed import read_sealed, write_sealed

_MASK: Final = "head.mask"


class ListedImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image of a bank."""

    pixels_sha256: Digest
    """As the bank names it."""
    image: Digest
    """Of the bytes of its file, in the store."""
    name: str
    """Of the file it came in, for people."""


class ImageList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a bank was built from, and how."""

    schema: Literal["teach_list/1"] = "teach_list/1"
    bank_sha256: Digest
    parent: Digest | None
    """The bank it was made from by teaching; None: it was commissioned."""
    images: list[ListedImage]
    """Its own, in their order, then those it was taught."""
    drawn: list[ListedImage]
    """Good parts drawn by chance that helped to set its threshold, and gave it no row."""
    manifest: Manifest
    good_scores: list[float]
    mask: str | None
    """The patches that are judged: base64 of the bits of `mask_shape`; None: all."""
    mask_shape: list[int]
    parts: list[int] = []
    """Numbers of the parts that its own images show; empty: each shows another."""


def list_of(
    bank: BankFile,
    files: Mapping[str, tuple[str, str]],
    drawn: Sequence[ListedImage] = (),
    parent: str | None = None,
) -> ImageList:
    """The list of a bank whose images are kept.

    Args:
        bank: the bank.
        files: by the sha256 of pixels: the sha256 of the bytes of the image's file, and its name.
        drawn: good parts that helped to set its threshold.
        parent: sha256 of the bank it was taught from.

    Raises:
        InputError: an image of the bank is not among them.
    """
    wanted = [*digests_of(bank), *(image.sha256 for image in bank.manifest.taught)]
    missing = [digest for digest in wanted if digest not in files]
    if missing:
        raise InputError(
            f"--images: {len(missing)} of the {len(wanted)} images of bank {bank.sha256[:SHORT]} are not "
            f"there (the first has the sha256 {missing[0][:SHORT]}), expected all of them"
        )
    mask = bank.tensors.get(_MASK)
    return ImageList(
        bank_sha256=bank.sha256,
        parent=parent,
        images=[ListedImage(digest, *files[digest]) for digest in wanted],
        drawn=list(drawn),
        manifest=bank.manifest,
        good_scores=[float(score) for score in bank.tensors[GOOD_SCORES]],
        mask=None if mask is None else base64.b64encode(np.packbits(mask > 0).tobytes()).decode(),
        mask_shape=[] if mask is None else list(mask.shape),
        parts=[int(part) for part in bank.tensors.get(IMAGE_PARTS, ())],
    )


def keep_list(place: TeachPlace, images: ImageList) -> None:
    """Write a bank's list, unless it is kept already; raises UnavailableError where it cannot be written."""
    path = _path(place, images.bank_sha256)
    if not path.exists():  # the same bank may come out again when what it was taught is taken back
        write_sealed(path, images)


def read_list(place: TeachPlace, bank_sha256: str) -> ImageList:
    """The list of a bank.

    Raises:
        InputError: it is not kept, or was altered.
    """
    path = _path(place, bank_sha256)
    if not path.exists():
        raise TeachRefusedError(
            "images_not_kept",
            f"bank {bank_sha256[:SHORT]}: its images are not kept, expected them: "
            "`inspectd teach adopt` keeps the images a bank was built from",
        )
    return read_sealed(path, ImageList)[0]


def adopt(
    place: TeachPlace, path: Path, images: Sequence[Path], person: Person, progress: Progress
) -> ImageList:
    """Keep the images that a bank was built from, and their list.

    Args:
        place: where to.
        path: the bank file.
        images: files among which they are, known by their pixels.
        person: who does it.
        progress: called with the images done.

    Raises:
        BankError: the bank cannot be used, or does not record its images.
        InputError: the role may not, or images are missing.
        UnavailableError: they cannot be kept.
    """
    refuse_role(TeachAct.ADOPT, person)
    bank = read_bank(path)
    good_scores(path, bank)
    if not digests_of(bank):
        raise BankError(f"bank {path}: does not record the images it was built from; build it again")
    wanted = {*digests_of(bank), *(image.sha256 for image in bank.manifest.taught)}
    files: dict[str, tuple[str, str]] = {}
    for done, image in enumerate(images, start=1):
        _, frame = named_image(image, bank.manifest.bit_depth)
        if not isinstance(frame, str) and (digest := digest_of(frame)) in wanted and digest not in files:
            files[digest] = (place.images.keep_file(image), image.name.encode(errors="replace").decode())
        progress("images", done, len(images))
    found = list_of(bank, files)
    with place.alone(LONG_WORK_SECONDS):
        keep_list(place, found)
        place.record(f"bank {bank.sha256}", f"kept {len(found.images)} images", person)
    return found


def listed_bank(images: ImageList) -> BankFile:
    """What `rebuild` needs to know of a bank, from its list alone."""
    digests = [image.pixels_sha256 for image in images.images[: images.manifest.images]]  # not the taught
    tensors: dict[str, NDArray[Any]] = {
        GOOD_SCORES: np.array(images.good_scores, dtype=np.float64),
        IMAGE_DIGESTS: np.array([list(bytes.fromhex(digest)) for digest in digests], dtype=np.uint8),
    }
    if images.parts:
        tensors[IMAGE_PARTS] = np.array(images.parts, dtype=np.int64)
    if images.mask is not None:
        count = int(np.prod(images.mask_shape))
        bits = np.unpackbits(np.frombuffer(base64.b64decode(images.mask), np.uint8), count=count)
        tensors[_MASK] = bits.reshape(images.mask_shape).astype(np.float32)
    return BankFile(images.manifest, tensors, images.bank_sha256)


def _path(place: TeachPlace, bank_sha256: str) -> Path:
    return place.root / "lists" / f"{bank_sha256}.json"
