"""The file from which a person makes a version of a recipe; `docs/recipes.md` describes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from inspectd.config import CameraRecipeSettings, Name, Settings, problems, read_toml
from inspectd.errors import ConfigError
from inspectd.files import open_regular
from inspectd.recipes.version import RecipeNumber

_MOST_BYTES: Final = 1_000_000


class CameraInFile(CameraRecipeSettings, frozen=True, kw_only=True):
    """What is to judge the pictures of one camera, and what it is to be set to meanwhile."""

    bank: Annotated[
        str,
        Meta(
            pattern=r"^[^\0]{1,4096}\Z",
            examples=["side.safetensors"],
            description="Bank file, relative to this file.",
        ),
    ]


class _Tables(Settings, frozen=True, kw_only=True):
    id: Annotated[Name | None, Meta(description="Name of the recipe.")] = None
    number: RecipeNumber | None = None
    cameras: Annotated[
        dict[str, Any],
        Meta(
            min_length=1,
            description='A table [cameras.NAME] for each camera of the line, or [cameras."NAME/REGION"].',
        ),
    ]


class RecipeFile(msgspec.Struct, frozen=True):
    """A recipe as its file has it.

    Attributes:
        id: its name; None: the file has none.
        number: the same of its number.
        cameras: what is to judge the pictures of each, with the whole path of its bank.
    """

    id: str | None
    number: int | None
    cameras: dict[str, CameraInFile]


def read_recipe_file(path: Path) -> RecipeFile:
    """Read a recipe's TOML file.

    Raises:
        InputError: it is no regular file, or too large.
        ConfigError: it cannot be read, is not TOML, or has problems; all of them are listed.
    """
    try:
        with open_regular(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    if size_bytes > _MOST_BYTES:
        raise ConfigError(
            str(path),
            [f"has {size_bytes} bytes, expected a TOML file of at most {_MOST_BYTES}, or an archive"],
        )
    data = read_toml(path)
    found = [*problems(data, _Tables, "")]
    cameras = data.get("cameras")
    for name, table in (cameras if isinstance(cameras, dict) else {}).items():
        found += problems(table, CameraInFile, f"cameras.{name}")
    if found:
        raise ConfigError(str(path), found)
    tables = msgspec.convert(data, _Tables)
    base = path.resolve().parent
    return RecipeFile(
        tables.id,
        tables.number,
        {
            name: msgspec.structs.replace(camera, bank=str(base / camera.bank))
            for name, camera in msgspec.convert(tables.cameras, dict[str, CameraInFile]).items()
        },
    )
