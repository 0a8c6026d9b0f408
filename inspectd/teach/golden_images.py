"""Golden images: pictures of parts whose verdict is known. Every candidate is held against them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from inspectd.bank.images import named_image
from inspectd.errors import InputError
from inspectd.recipes.canonical import Digest
from inspectd.teach.kept_parts import digest_of
from inspectd.teach.place import TeachPlace
from inspectd.teach.roles import Person, TeachAct, refuse_role
from inspectd.teach.sealed import read_sealed, write_sealed

_PREFIX = "golden "


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
    found = []
    for record in place.records():
        if record.object is None or not record.object.startswith(_PREFIX):
            continue
        sha256 = (record.new or "").split(" ")[2]
        path = place.root / "golden" / f"{sha256}.json"
        golden, seal = read_sealed(path, GoldenImage)
        if seal != sha256:
            raise InputError(f"{path}: is not what the audit file has, record {record.seq}; restore a copy")
        if recipe in {None, golden.recipe} and camera in {None, golden.place}:
            found.append(golden)
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
        InputError: the role may not, an image cannot be read, or is kept already with the other verdict. Then
            none is kept.
        UnavailableError: one cannot be kept.
    """
    refuse_role(TeachAct.GOLDEN, person)
    with place.alone():
        known = {image.pixels_sha256: image.expect for image in golden_images(place, recipe, camera)}
        new_ones: dict[str, Path] = {}
        for path in paths:
            name, frame = named_image(path, bit_depth)
            if isinstance(frame, str):
                raise InputError(f"{name}: {frame}")
            digest = digest_of(frame)
            if known.get(digest, expect) != expect:
                raise InputError(
                    f"{name}: the same picture is kept as one that has to {known[digest]}, expected "
                    f"{expect}; leave it out. Nothing was kept"
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
            place.record(f"{_PREFIX}{path.name}", f"kept {expect} {sha256}", person)
        return len(new_ones)
