"""What the tests of the fault suite share."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.parts import Bank, build_bank
from support.once import made_once


@pytest.fixture(scope="session")
def parts_bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """A bank of the suite's good parts."""

    def build(folder: Path) -> None:
        bank = build_bank(folder)
        (folder / "threshold").write_text(repr(bank.threshold))

    folder = made_once(tmp_path_factory, "parts", build)
    return Bank(folder / "parts.safetensors", float((folder / "threshold").read_text()))
