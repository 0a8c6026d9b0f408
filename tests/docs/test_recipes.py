"""docs/recipes.md: its recipe file is sound, its table whole, and its program verifies an audit file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from inspectd.recipes.audit import AuditAction, AuditLog, AuditRecord
from inspectd.recipes.recipe_file import read_recipe_file

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()


def block(kind: str) -> str:
    (text,) = re.findall(rf"```{kind}\n(.+?)```", PAGE, re.DOTALL)
    return text


def test_the_recipe_file_is_sound(tmp_path: Path) -> None:
    (tmp_path / "cells.toml").write_text(block("toml"))
    file = read_recipe_file(tmp_path / "cells.toml")
    assert (file.id, file.number, sorted(file.cameras)) == ("cells", 12, ["side", "top"])
    assert file.cameras["side"].bank == str(tmp_path / "banks" / "cells-side.safetensors")


def test_the_table_names_every_field_and_action() -> None:
    table = PAGE[PAGE.index("| `seq` |") : PAGE.index("Texts have 300")]
    fields = [name for row in table.splitlines() if row for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert set(fields) == set(AuditRecord.__struct_fields__)
    assert all(f"`{action}`" in table for action in AuditAction)


@pytest.mark.parametrize("altered", [False, True])
def test_its_program_verifies_an_audit_file(tmp_path: Path, altered: bool) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        for why in ("größer", 'a "quote" \\ and \n a break', None):
            last = log.append(AuditAction.KEY, who="anna", door="local", why=why)
    if altered:
        path.write_text(path.read_text().replace("quote", "Quote"))
    command = [sys.executable, "-c", block("python"), path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if altered:
        assert (done.returncode, done.stderr) == (1, "line 2 is not as it was written\n")
    else:
        assert (done.returncode, done.stdout) == (0, f"whole, last sha256 {last.sha256}\n")
