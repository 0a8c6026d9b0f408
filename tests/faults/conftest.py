"""What the tests of the fault suite share."""

from __future__ import annotations

import pytest
from faults.parts import Bank, build_bank


@pytest.fixture(scope="session")
def parts_bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """A bank of the suite's good parts."""
    return build_bank(tmp_path_factory.mktemp("faults"))
