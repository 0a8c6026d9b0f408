"""A version of a recipe: what judges the pictures of every camera of a line, as its `recipe.json` says it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from inspectd.config import MOST_PLACES, CameraRecipeSettings, Name, PlaceName, Recipe, RecipeSettings
from inspectd.errors import InputError
from inspectd.recipes.audit.records import FILE_ID
from inspectd.recipes.canonical import SHA256, Digest, canonical_json, json_object, sealing_sha256
from inspectd.records import CameraSettings

MANIFEST: Final = "recipe.json"
"""Name of the file that describes a version, beside its banks."""
BANKS: Final = "banks"
"""Name of the folder of a version's banks."""
SCHEMA: Final = "inspectd-recipe/1"
_CONTENT: Final = ("cameras", "files")
"""Fields that it judges by; all others say what it is called here, and who made it when and why."""
MOST_BYTES: Final = 1_000_000
"""Of a `recipe.json`."""

VersionNumber = Annotated[int, Meta(ge=1, le=999_999_999)]
RecipeNumber = Annotated[int, Meta(ge=1, le=999, description="Number by which a PLC names it, 1 to 999.")]
BankPath = Annotated[
    str,
    Meta(
        pattern=r"^banks/[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.safetensors\Z", examples=["banks/side.safetensors"]
    ),
]
Who = Annotated[str, Meta(min_length=1, max_length=100)]
Why = Annotated[str, Meta(max_length=300)]


class CameraRecipe(CameraRecipeSettings, frozen=True, kw_only=True):
    """What judges the pictures of one camera, and what it is set to meanwhile."""

    bank: BankPath
    """Inside the version's folder."""
    bank_sha256: Digest
    """The bank's own digest, which verdicts carry; not that of its file."""


def recipe_of(settings: RecipeSettings, name: str, bank: str) -> Recipe:
    """The same settings as a recipe of the configuration file, with a name and the path of its bank."""
    given = {field: getattr(settings, field) for field in RecipeSettings.__struct_fields__}
    return Recipe(name=name, bank=bank, **given)


class FileDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a version as it must be."""

    sha256: Digest
    bytes: Annotated[int, Meta(ge=0, le=2**53)]


class RecipeVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of a recipe, and all that is in its folder."""

    schema: Literal["inspectd-recipe/1"] = SCHEMA
    id: Name
    version: VersionNumber
    number: RecipeNumber
    parent: VersionNumber | None
    """Version it was made from; None: from none of this store."""
    origin: Digest | None = None
    """`sha256` of the version that was exported elsewhere and imported as this one; None: made here."""
    cameras: Annotated[dict[PlaceName, CameraRecipe], Meta(min_length=1, max_length=MOST_PLACES)]
    """By camera, or by region as `CAMERA/REGION`."""
    who: Who
    created_utc_ns: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    why: Why
    software: Annotated[str, Meta(min_length=1, max_length=50)]
    """Version of inspectd that made it."""
    files: dict[BankPath, FileDigest]
    """Every file of its folder but `recipe.json`."""
    sha256: Digest
    """Over the canonical JSON of all other fields: over its files too, as their digests are among these."""

    def __str__(self) -> str:
        """`ID@VERSION`, as commands take it."""
        return f"{self.id}@{self.version}"

    @property
    def content_sha256(self) -> str:
        """Over what it judges by, and nothing else: the same wherever it was exported and imported."""
        fields = _fields(self)
        return sealing_sha256({name: fields[name] for name in _CONTENT})


def sealed(version: RecipeVersion) -> RecipeVersion:
    """`version` with its right sha256.

    Raises:
        InputError: a value is not allowed, or cameras and files do not belong together.
    """
    fields = _fields(version)
    fields[SHA256] = sealing_sha256(fields)
    return _checked(fields, f"recipe {version.id}")


def encode(version: RecipeVersion) -> bytes:
    """The content of its `recipe.json`."""
    return _laid_out(_fields(version))


def decode(data: bytes, where: str) -> RecipeVersion:
    """The version that a `recipe.json` describes; its files are not looked at.

    Args:
        data: the file's content.
        where: names the file in errors.

    Raises:
        InputError: it is too large, damaged, altered, of another schema, or does not fit together.
    """
    if len(data) > MOST_BYTES:
        raise InputError(f"{where}: is larger than {MOST_BYTES} bytes, expected a {MANIFEST} of this program")
    try:
        fields = json_object(data)
    except ValueError as error:
        raise InputError(f"{where}: is damaged ({error}); restore a copy or import it again") from error
    schema = fields.get("schema")
    if schema != SCHEMA:
        got = "no schema" if schema is None else f"schema {str(schema)[:50]!r}"
        raise InputError(f"{where}: has {got}, this version reads {SCHEMA!r}")
    version = _checked(fields, where)
    found = sealing_sha256(fields)
    if found != version.sha256:
        raise InputError(
            f"{where}: was altered: its sha256 is {found[:12]}..., it says {version.sha256[:12]}...; "
            "restore a copy or import it again"
        )
    if _laid_out(fields) != data:
        raise InputError(
            f"{where}: was altered, though not in what it says; restore a copy or import it again"
        )
    return version


def _fields(version: RecipeVersion) -> dict[str, Any]:
    """All that it says. Versions from before there was a setting lack it, and keep their sha256."""
    fields: dict[str, Any] = msgspec.to_builtins(version)
    for camera in fields["cameras"].values():
        for name in CameraSettings.__struct_fields__:
            if camera[name] is None:
                del camera[name]
        if not camera["quality_off"]:
            del camera["quality_off"]
    return fields


def _laid_out(fields: dict[str, Any]) -> bytes:
    """Canonical JSON, indented for people."""
    return msgspec.json.format(canonical_json(fields), indent=2) + b"\n"


def _checked(fields: dict[str, Any], where: str) -> RecipeVersion:
    try:
        version = msgspec.convert(fields, RecipeVersion)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: does not describe a recipe: {str(error)[:300]}") from error
    if version.id == FILE_ID:
        raise InputError(
            f"{where}: its id is {FILE_ID!r}, which stands for the configuration file; choose another one"
        )
    for name in ("who", "why", "software"):
        if not getattr(version, name).isprintable():
            raise InputError(f"{where}: its `{name}` holds characters that do not print; leave them out")
    named = {camera.bank for camera in version.cameras.values()}
    if named != set(version.files):
        raise InputError(
            f"{where}: its cameras name the banks {', '.join(sorted(named))}, its files are "
            f"{', '.join(sorted(version.files)) or 'none'}"
        )
    return version
