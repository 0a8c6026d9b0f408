"""Golden images: pictures of parts whose verdict is known. Every candidate is held against them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from inspectd.bank.images import digest_of, named_image
from inspectd.errors import InputError
from inspectd.recipes.canonical import Digest
from inspectd.teach.cases import CaseBook, CaseState
from inspectd.teach.place import TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.roles import Person, TeachAct, refuse_no_reason, refuse_role
from inspectd.teach.sealed import read_sealed, write_sealed
from inspectd.text import counted

_PREFIX: Final = "golden "
_KEPT: Final = "kept"
_TAKEN_OUT: Final = "taken-out"


class GoldenImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture of a part whose verdict is known."""

    schema: Literal["teach_golden/1"] = "teach_golden/1"
    name: str
    """Its file's name, for people."""
    recipe: str
    place: str
    expect: Literal["pass", "fail"]
    bit_depth: int
    image: Digest
    """Of the bytes of its file."""
    pixels_sha256: Digest


def golden_images(
    place: TeachPlace, recipe: str | None = None, camera: str | None = None
) -> list[GoldenImage]:
    """Those of a recipe on a camera or region (None: all), in the order they were kept.

    Raises:
        InputError: the audit file or one of them was altered.
    """
    return list(_by_seal(place, recipe, camera).values())


def golden_set(place: TeachPlace, recipe: str, camera: str) -> str:
    """SHA-256 of all that candidates are held against: while it is the same, no image came or went.

    Raises:
        InputError: as `golden_images`.
    """
    seals = sorted(_by_seal(place, recipe, camera))
    return hashlib.sha256("".join(seals).encode()).hexdigest()


def refuse_golden(place: TeachPlace, pictures: Mapping[str, str]) -> None:
    """Refuse to teach a picture of the golden set, of whatever recipe: what is taught is known as good.

    Args:
        place: the line's folder of teaching.
        pictures: by the sha256 of their pixels: what each is, for people.

    Raises:
        InputError: one is golden; or as `golden_images`.
    """
    for golden in golden_images(place):
        if (what := pictures.get(golden.pixels_sha256)) is not None:
            raise TeachRefusedError(
                "golden",
                f"{what}: its picture is of the golden set, which is never taught ({golden.name}, has to "
                f"{golden.expect}); withdraw the case, or take the image out of the set "
                "(`inspectd teach golden --take-out`)",
            )


def _by_seal(place: TeachPlace, recipe: str | None, camera: str | None) -> dict[str, GoldenImage]:
    """Those that were kept and not taken out since, by the sha256 that the audit file has of each."""
    found: dict[str, GoldenImage] = {}
    for record in place.records():
        if record.object is None or not record.object.startswith(_PREFIX):
            continue
        what, _, sha256 = (record.new or "").split(" ")[:3]
        path = place.root / "golden" / f"{sha256}.json"
        golden, seal = read_sealed(path, GoldenImage)
        if seal != sha256:
            raise InputError(f"{path}: is not what the audit file has, record {record.seq}; restore a copy")
        if what == _TAKEN_OUT:
            found.pop(sha256, None)
        elif recipe in {None, golden.recipe} and camera in {None, golden.place}:
            found[sha256] = golden
    return found


def keep_golden(
    place: TeachPlace,
    paths: Sequence[Path],
    *,
    recipe: str,
    camera: str,
    expect: Literal["pass", "fail"],
    bit_depth: int,
    person: Person,
) -> int:
    """Keep images as golden ones; those that are kept already are passed over.

    Returns:
        How many are new.

    Raises:
        InputError: the role may not, an image cannot be read, is kept already with the other verdict, or is
            that of a case that is taught or says otherwise. Then none is kept.
        UnavailableError: one cannot be kept.
    """
    refuse_role(TeachAct.GOLDEN, person)
    with place.alone():
        known = {image.pixels_sha256: image.expect for image in golden_images(place, recipe, camera)}
        cases = {each.case.pixels_sha256: each for each in CaseBook(place).all() if _speaks(each, expect)}
        new_ones: dict[str, Path] = {}
        for path in paths:
            name, digest = _read(path, bit_depth)
            if known.get(digest, expect) != expect:
                raise InputError(
                    f"{name}: the same picture is kept as one that has to {known[digest]}, expected "
                    f"{expect}; leave it out, or take that one out first (--take-out). Nothing was kept"
                )
            if (case := cases.get(digest)) is not None:
                raise InputError(
                    f"{name}: is the picture of case {case.case.id}, which is {case.state} as "
                    f"{case.case.answer}, expected none that is taught or says otherwise; leave it out, "
                    "or refuse or withdraw the case first. Nothing was kept"
                )
            if digest not in known:
                new_ones.setdefault(digest, path)
        for digest, path in new_ones.items():
            golden = GoldenImage(
                name=path.name, recipe=recipe, place=camera, expect=expect, bit_depth=bit_depth,
                image=place.images.keep_file(path), pixels_sha256=digest,
            )  # fmt: skip
            new = place.root / "golden" / "new.json"
            sha256 = write_sealed(new, golden)
            new.replace(new.with_name(f"{sha256}.json"))
            place.record(f"{_PREFIX}{path.name}", f"{_KEPT} {expect} {sha256}", person)
        return len(new_ones)


def _speaks(found: CaseState, expect: Literal["pass", "fail"]) -> bool:
    """Whether a case stands against a golden image of its picture: it is taught, or says otherwise."""
    is_open = found.state in {"marked", "confirmed"}
    return is_open and (found.case.answer == "good" or expect == "pass")


def take_out_golden(
    place: TeachPlace, paths: Sequence[Path], *, recipe: str, camera: str, bit_depth: int, person: Person
) -> int:
    """Have golden images be golden no longer; pictures that are not are passed over. Their files stay.

    Returns:
        How many are taken out.

    Raises:
        InputError: the role may not, there is no reason, an image cannot be read, or none of them is golden.
        UnavailableError: it cannot be recorded.
    """
    refuse_role(TeachAct.GOLDEN, person)
    refuse_no_reason(person)
    with place.alone():
        kept = _by_seal(place, recipe, camera)
        digests = {_read(path, bit_depth)[1] for path in paths}
        leaving = {seal: image for seal, image in kept.items() if image.pixels_sha256 in digests}
        if not leaving:
            raise InputError(
                f"none of {counted(len(paths), 'picture')} is golden for {recipe} on {camera}; "
                f"{len(kept)} others are"
            )
        for seal, image in leaving.items():
            place.record(f"{_PREFIX}{image.name}", f"{_TAKEN_OUT} {image.expect} {seal}", person)
        return len(leaving)


def _read(path: Path, bit_depth: int) -> tuple[str, str]:
    """Name of a picture, and sha256 of its pixels.

    Raises:
        InputError: it cannot be read.
    """
    name, frame = named_image(path, bit_depth)
    if isinstance(frame, str):
        raise InputError(f"{name}: {frame}")
    return name, digest_of(frame)
