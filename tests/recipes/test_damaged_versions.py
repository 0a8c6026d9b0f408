"""Versions in the store that somebody laid hands on, or a disk lost: none is taken for what it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.recipes import NAMES, assert_damaged, draft, files_of, stored, tree

from inspectd.errors import InputError
from inspectd.recipes.store import RecipeStore


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", range(12))
def test_every_bit_and_every_length_of_a_stored_file_counts(whole, tmp_path, name, part):
    store, data = stored(whole, tmp_path), files_of(whole)[name]
    path = tmp_path / "stored" / "cells" / "1" / name
    at = len(data) * part // 12
    for damaged in (
        data[:at],
        data[:at] + bytes([data[at] ^ (1 << part % 8)]) + data[at + 1 :],
        data + data[:1],
    ):
        path.write_bytes(damaged)
        assert_damaged(store)
    path.write_bytes(data)
    assert store.verify("cells", 1)


def test_every_byte_of_a_manifest_counts(whole, tmp_path):
    store, data = stored(whole, tmp_path), files_of(whole)["recipe.json"]
    path = tmp_path / "stored" / "cells" / "1" / "recipe.json"
    for at in range(len(data)):
        path.write_bytes(data[:at] + b" " + data[at + 1 :])
        if data[at : at + 1] != b" ":
            with pytest.raises(InputError):
                store.read("cells", 1)


def link(path: Path) -> None:
    moved = path.parents[len(path.parts) - path.parts.index("stored") - 1] / "moved"  # beside the store
    path.rename(moved)
    path.symlink_to(moved)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: list[tuple[str, Callable[[Path], object], str]] = [
    *((f"{change.__name__} {name}", lambda at, name=name, change=change: change(at / name), said)
      for name in NAMES for change, said in (
          (link, "is not a regular file"), (fifo, "is not a regular file"), (folder, "is not a regular file"),
          (Path.unlink, "is not there" if name == NAMES[0] else "lacks cam"))),
    ("a file more", lambda at: (at / "more").touch(), "also holds more"),
    ("a hidden file more", lambda at: (at / ".hidden").touch(), "also holds .hidden"),
    ("a bank more", lambda at: (at / "banks" / "cam3.safetensors").touch(), "also holds cam3.safetensors"),
    ("a folder more", lambda at: (at / "banks" / "more").mkdir(), "also holds more"),
    ("no banks", lambda at: shutil.rmtree(at / "banks"), "cannot be read: No such file"),
    ("banks are a link", lambda at: link(at / "banks"), "is a link or no folder"),
    ("a version that is a link", link, "is a link or no folder"),
    ("a recipe that is a link", lambda at: link(at.parent), "is a link or no folder"),
    ("a version that is a file", lambda at: (shutil.rmtree(at), at.touch()), "is a link or no folder"),
    ("an empty version", lambda at: (shutil.rmtree(at), at.mkdir()), "is not there"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES]
)
def test_a_stored_version_with_other_things_in_it_is_damaged(whole, tmp_path, change, said):
    store = stored(whole, tmp_path)
    change(tmp_path / "stored" / "cells" / "1")
    assert said in assert_damaged(store)


@pytest.mark.parametrize(("to", "name"), [("cells/2", ("cells", 2)), ("glass/1", ("glass", 1))])
def test_a_version_that_was_moved_is_damaged(whole, tmp_path, to, name):
    store = stored(whole, tmp_path)
    (tmp_path / "stored" / to).parent.mkdir(exist_ok=True)
    (tmp_path / "stored" / "cells" / "1").rename(tmp_path / "stored" / to)
    with pytest.raises(InputError, match=f"is that of cells@1, expected {name[0]}@{name[1]}; somebody moved"):
        store.read(*name)


def test_a_recipe_that_is_a_link_takes_no_version(whole, tmp_path):
    store = stored(whole, tmp_path)
    (tmp_path / "stored" / "cells").rename(tmp_path / "elsewhere")
    (tmp_path / "stored" / "cells").symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link or no folder"):
        store.add(draft(tmp_path / "sources"))
    assert tree(tmp_path / "elsewhere") == before


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../cells", "cells/1", "a" * 64, "cells\n", "cells\x00", ".new-x", "ü"]
)
def test_names_that_no_recipe_has_lead_nowhere(whole, name):
    store = RecipeStore(whole / "recipes")
    for use in (lambda: store.read(name, 1), lambda: store.newest(name), lambda: store.verify(name, 1)):
        with pytest.raises(InputError):
            use()
    for version in (0, -1, 10**9):
        with pytest.raises(InputError):
            store.read("cells", version)
