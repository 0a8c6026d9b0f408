"""Who holds a line's state directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.disks import needs_root
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


_AT_ONCE = """
import sys
from pathlib import Path
from inspectd.errors import UnavailableError
from inspectd.ipc.state_hold import FILE, StateHold

folder, other, mkdir = Path(sys.argv[1]), Path(sys.argv[2]), Path.mkdir

def make(path, *arguments, **how):
    mkdir(path, *arguments, **how)
    other.rename(folder / FILE)

Path.mkdir = make
with StateHold(folder, ""):
    try:
        with StateHold(folder, "held"):
            print("not held")
    except UnavailableError as error:
        print(error)
"""

_UNSEEN = """
import sys
from pathlib import Path
from inspectd.ipc.state_hold import HoldUnknownError, StateHold

try:
    with StateHold(Path(sys.argv[1]), "held", is_made=False):
        print("not held")
except HoldUnknownError as error:
    print(error)
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


def test_a_folder_that_cannot_be_written_is_held_by_nobody_and_that_is_said(tmp_path: Path, caplog) -> None:
    assert run_without_rights(_READ_ONLY, tmp_path) == "[]\n"
    (tmp_path / "file").touch()
    with StateHold(tmp_path / "file" / "state", "held", is_made=False):
        pass
    assert not caplog.records
    with StateHold(tmp_path / "file" / "state", "held"):
        pass
    (said,) = caplog.records
    assert (said.message, "cannot be locked: Not a directory" in str(vars(said))) == ("state_not_held", True)


@needs_root
def test_a_file_that_another_user_makes_at_the_same_moment_is_held(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(mode=0o644)
    os.chown(other, 65534, 65534)
    assert run_without_rights(_AT_ONCE, tmp_path, other) == "held\n"


@needs_root
def test_what_root_makes_the_owner_of_the_folder_may_write(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with StateHold(tmp_path, "held"):
        pass
    assert (tmp_path / FILE).stat().st_uid == 65534


@needs_root
def test_who_has_no_right_to_the_folder_is_not_told_that_nobody_holds_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with StateHold(tmp_path, "held"):
        os.chown(tmp_path, 65534, 65534)
        assert (
            run_without_rights(_UNSEEN, tmp_path)
            == f"{tmp_path}/.hold: cannot be locked: Permission denied\n"
        )
