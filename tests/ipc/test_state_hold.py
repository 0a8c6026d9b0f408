"""Who holds a line's state directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.ordinary import run_without_rights

from inspectd.errors import UnavailableError
from inspectd.ipc.state_hold import FILE, StateHold

_READ_ONLY = """
import sys
from pathlib import Path
from inspectd.ipc.state_hold import StateHold

folder = Path(sys.argv[1])
folder.chmod(0o500)
with StateHold(folder, "held"):
    print(list(folder.iterdir()))
"""


def test_one_at_a_time_whoever_made_the_file(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with StateHold(tmp_path / "state", "l1 runs"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o777 == 0o644
    with (
        StateHold(tmp_path / "state", "l1 runs"),
        pytest.raises(UnavailableError, match="l1 runs"),
        StateHold(tmp_path / "state", "l1 runs"),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_held_by_nobody(tmp_path: Path) -> None:
    assert run_without_rights(_READ_ONLY, tmp_path) == "[]\n"
    (tmp_path / "file").touch()
    with StateHold(tmp_path / "file" / "state", "held"):
        pass
