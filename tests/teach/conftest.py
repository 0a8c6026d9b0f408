"""What the tests of teaching share."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.once import made_once
from support.teaching import TaughtLine, build_small


@pytest.fixture(scope="session")
def small_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of 20 good cells."""
    return made_once(tmp_path_factory, "taught", build_small) / "top.safetensors"


@pytest.fixture
def line(tmp_path: Path, small_bank: Path) -> TaughtLine:
    """A line that nobody taught yet."""
    return TaughtLine(tmp_path, small_bank)
