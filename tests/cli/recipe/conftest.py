"""A line with two cameras and a recipe file, for the recipe commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.banks import bank_of
from support.recipes import RECIPE_FILE

from inspectd import cli
from inspectd.bank.file import write_bank

_LINE = """
[line]
state_dir = "state"
[[recipes]]
name = "a"
bank = "a.safetensors"
"""
_CAMERA = """
[[cameras]]
kind = "images"
name = "{}"
recipe = "a"
folder = "pictures"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A line with the cameras top and side, two banks and a recipe of them."""
    for name, scores in (("a", np.linspace(1, 2, 40)), ("b", np.linspace(2, 3, 40))):
        bank = bank_of(scores)
        write_bank(tmp_path / "banks" / f"{name}.safetensors", bank.manifest, bank.tensors)
    (tmp_path / "line.toml").write_text(_LINE + _CAMERA.format("top") + _CAMERA.format("side"))
    (tmp_path / "cells.toml").write_text(RECIPE_FILE)
    return tmp_path


@pytest.fixture
def recipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Runs `inspectd recipe` for that line: the exit code, and what was printed."""

    def run(*words: object, config: Path = folder / "line.toml") -> SimpleNamespace:
        capsys.readouterr()
        code = cli.main(["recipe", *map(str, words), "--config", str(config)])
        done = capsys.readouterr()
        assert "Traceback" not in done.err
        return SimpleNamespace(code=code, out=done.out, err=done.err)

    return run
