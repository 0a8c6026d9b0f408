"""Recipes of the store from banks of a few bytes, which only commands would read."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inspectd.errors import InputError
from inspectd.recipes import canonical
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe, RecipeVersion

NAMES = ("recipe.json", "banks/cam1.safetensors", "banks/cam2.safetensors")

RECIPE_FILE = """
id = "cells"
number = 12

[cameras.top]
bank = "banks/a.safetensors"
threshold = 2.5
check_above = 2

[cameras.side]
bank = "banks/b.safetensors"
"""
"""Of the line with the cameras top and side that tests of the commands have."""


def draft(folder: Path, *, id: str = "cells", number: int = 12, **changes: Any) -> RecipeDraft:  # noqa: A002
    """A recipe for two cameras with a bank each; the banks are made in `folder`."""
    cameras, banks = {}, {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("cam1", "cam2"):
        bank = f"banks/{name}.safetensors"
        (folder / name).write_bytes(f"the bank of {name} ".encode() * 20)
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        cameras[name] = CameraRecipe(bank=bank, bank_sha256=sha256, threshold=4.5 if name == "cam1" else None)
        banks[bank] = folder / name
    made = RecipeDraft(id=id, number=number, cameras=cameras, banks=banks, who="anna", why="neue Zellen ü")
    return msgspec.structs.replace(made, **changes)


def content(store: RecipeStore, recipe: RecipeVersion) -> tuple[object, ...]:
    """All that makes a version judge as it does, read from the disk."""
    folder = store.folder(recipe.id, recipe.version)
    banks = {name: (folder / name).read_bytes() for name in recipe.files}
    return recipe.id, recipe.number, recipe.cameras, banks


def tree(root: Path) -> dict[str, object]:
    """Everything below a folder: kind and mode of each entry, and what files hold."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        found[str(path.relative_to(root))] = (mode, path.read_bytes() if stat.S_ISREG(mode) else None)
    return found


def files_of(whole: Path) -> dict[str, bytes]:
    return {name: (whole / "recipes" / "cells" / "1" / name).read_bytes() for name in NAMES}


def refused(there: RecipeStore, tmp_path: Path, data: bytes) -> str:
    """The reason for which an archive is refused; the store is as it was."""
    archive = tmp_path / "odd.zip"
    archive.write_bytes(data)
    before = tree(tmp_path / "there")
    with pytest.raises(InputError) as raised:
        there.import_archive(archive, who="otto")
    assert tree(tmp_path / "there") == before
    said = str(raised.value)
    assert said.startswith(f"{archive}: "), said
    assert said.isprintable(), said
    assert "/.new-" not in said
    assert len(said) < 1500
    return said.removeprefix(f"{archive}: ")


def zipped(entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    """An archive of these entries, plain files where only a name is given."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # that a name is there twice
        for name, data in entries:
            entry = zipfile.ZipInfo(name) if isinstance(name, str) else name
            if isinstance(name, str):
                entry.external_attr = (stat.S_IFREG | 0o444) << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def resealed(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A `recipe.json` that was changed by somebody who knows how its digest is made."""
    fields = msgspec.json.decode(data)
    change(fields)
    fields["sha256"] = canonical.sealing_sha256(fields)
    return msgspec.json.format(canonical.canonical_json(fields), indent=2) + b"\n"


def stored(whole: Path, tmp_path: Path) -> RecipeStore:
    shutil.copytree(whole / "recipes", tmp_path / "stored")
    for path in tmp_path.joinpath("stored").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return RecipeStore(tmp_path / "stored")


def assert_damaged(store: RecipeStore) -> str:
    """The reason for which cells@1 is not verified; the list says which one it is in any case."""
    with pytest.raises(InputError) as raised:
        store.verify("cells", 1)
    (listed,) = store.listing()
    assert (listed.id, listed.version) == ("cells", 1)
    return str(raised.value)
