"""Recipes of the store from banks of a few bytes, which only commands would read."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

import msgspec

from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe, RecipeVersion


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
