"""A history for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.page_history import Filled


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    history = Filled(tmp_path / "history")
    yield history
    history.close()
