"""What is wrong in a `recipe.json` is wrong in an archive and in the store, and is refused in both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.recipes import NAMES, assert_damaged, files_of, refused, resealed, stored, zipped

from inspectd.recipes.version import RecipeVersion


def put(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        for key in path[:-1]:
            fields = fields[key]
        fields[path[-1]] = value

    return change


WRONG: list[tuple[str, Any]] = [
    *((f"no {name}", lambda fields, name=name: fields.pop(name)) for name in RecipeVersion.__struct_fields__
      if name not in {"sha256", "origin"}),
    *((f"{name} {value!r:.20}", put(name, value=value)) for name, values in {
        "schema": ["inspectd-recipe/2", None, 1], "id": ["", "..", "a/b", "file", 5, None, "a" * 64],
        "version": [0, -1, 1.5, "1", True, None, 10**9], "number": [0, 1000, "12", None, 1.0],
        "parent": [0, "1", 1.5], "origin": ["", "AB" * 32, 5], "cameras": [{}, [], None, "cam1", {"cam1": 5}],
        "who": ["", None, "a\nb", "x" * 101, 5], "created_utc_ns": [-1, 2**63, 1.5, None],
        "why": [None, "\x1b", "x" * 301],
        "software": ["", "\u202e", None], "files": [{}, [], None, {"x": 5}], "unknown": [1],
    }.items() for value in values),
    *((f"camera's {name} {value!r:.20}", put("cameras", "cam1", name, value=value)) for name, values in {
        "bank": ["", "cam1.safetensors", "banks/cam3.safetensors", None, 5], "bank_sha256": ["", None, "ab"],
        "threshold": ["5", 1e301, True, []], "check_above": ["x"], "accept_threshold": [1, "yes", None],
        "deadline_ms": [0, -1, 1e9, "300"], "any_size": [None], "name": ["cam1"], "unknown": [1],
        "exposure_us": ["5", 0, -1, 1e12, []], "gain_db": ["x", 101],
    }.items() for value in values),
    *((f"file's {name} {value!r:.20}", put("files", NAMES[1], name, value=value)) for name, values in {
        "sha256": ["", "ab" * 32, None], "bytes": [-1, 0, 1.5, "440", 2**60], "unknown": [1],
    }.items() for value in values),
    *((f"a camera {name!r:.20}", put("cameras", name, value=5))
      for name in ("", "..", "a/b", "a\n", "x" * 64)),
]  # fmt: skip


@pytest.mark.parametrize("change", [change for _, change in WRONG], ids=[name for name, _ in WRONG])
def test_a_manifest_that_is_wrong_though_its_digest_is_right_is_refused(whole, there, tmp_path, change):
    files = files_of(whole)
    wrong = resealed(files["recipe.json"], change)
    refused(there, tmp_path, zipped([("recipe.json", wrong), *list(files.items())[1:]]))
    store = stored(whole, tmp_path)
    (tmp_path / "stored" / "cells" / "1" / "recipe.json").write_bytes(wrong)
    assert_damaged(store)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"null", b"[]", b"5", b'"x"', b"{}", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe",
     b"\x00" * 1000,
     b'{"sha256": ' + b"9" * 5000 + b"}", b'{"x": 1e999}', b'{"x": "\\ud800"}',
     b" " * 1_000_001, b"{'id': 1}"],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(whole, there, tmp_path, text):
    refused(there, tmp_path, zipped([("recipe.json", text), *list(files_of(whole).items())[1:]]))
    store = stored(whole, tmp_path)
    (tmp_path / "stored" / "cells" / "1" / "recipe.json").write_bytes(text)
    assert_damaged(store)
