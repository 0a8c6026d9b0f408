"""Whose files are that root's commands make for a service, and who may read them."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.disks import needs_root

from inspectd.files import changing, make_folder, write_text
from inspectd.recipes.store import RecipeStore
from inspectd.teach.place import TeachPlace


def owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


@needs_root
def test_what_root_writes_anew_belongs_to_whom_it_did(tmp_path: Path) -> None:
    file = tmp_path / "metrics.users"
    write_text(file, "one", 0o600)
    assert owner(file) == (0, 0)
    os.chown(file, 4321, 4322)
    write_text(file, "two", 0o600)
    assert (owner(file), file.read_text()) == ((4321, 4322), "two")


@needs_root
def test_what_root_makes_belongs_to_whom_the_folder_does(tmp_path: Path) -> None:
    os.chown(tmp_path, 4321, 4322)
    write_text(tmp_path / "a" / "b" / "file", "")
    make_folder(tmp_path / "a" / "c")
    assert {owner(path) for path in tmp_path.rglob("*")} == {(4321, 4322)}


def test_nobody_may_read_a_file_who_could_not_read_what_it_replaces(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    write_text(file, "one")
    assert file.stat().st_mode & 0o777 == 0o644
    file.chmod(0o640)
    write_text(file, "two")
    assert file.stat().st_mode & 0o777 == 0o640


def test_who_may_only_read_a_folder_keeps_nobody_from_changing_a_file_in_it(tmp_path: Path) -> None:
    held = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with changing(tmp_path / "allowed_keys"):
        assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o600
    os.close(held)


@needs_root
def test_all_who_may_write_in_a_folder_change_a_file_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    os.chown(folder, 0, 4322)
    folder.chmod(0o2770)
    change = (
        "import os, sys\nfrom pathlib import Path\nfrom inspectd.files import changing\n"
        "os.setgroups([])\nos.setgid(4322)\nos.setuid(int(sys.argv[1]))\nwith changing(Path('one')): pass"
    )
    for user in ("4321", "4323", "0"):
        command = [sys.executable, "-c", change, user]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    assert (folder / ".lock").stat().st_mode & 0o777 == 0o660


@needs_root
@pytest.mark.parametrize(
    "without",
    [
        ["setpriv", "--bounding-set", "-chown", "--inh-caps", "-chown"],
        ["unshare", "--user", "--map-root-user"],  # a container that does not know the folder's owner
    ],
)
def test_a_root_that_may_give_nothing_away_writes_all_the_same(tmp_path: Path, without: list[str]) -> None:
    os.chown(tmp_path, 4321, 4322)
    tmp_path.chmod(0o777)
    write = "from pathlib import Path; from inspectd.files import write_text; write_text(Path('one'), 'one')"
    command = [*without, sys.executable, "-c", write]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, (tmp_path / "one").read_text()) == (0, "one"), ended.stderr
    assert "stays_roots" in ended.stderr


@needs_root
def test_what_root_taught_first_is_the_lines_to_go_on_with(tmp_path: Path) -> None:
    os.chown(tmp_path, 4321, 4322)
    place = TeachPlace(
        tmp_path / "teach", tmp_path / "audit.jsonl", tmp_path, RecipeStore(tmp_path / "recipes"),
        lambda _: iter(()),
    )  # fmt: skip
    with place.alone():
        place.images.keep(b"a picture")
    assert {owner(path) for path in tmp_path.rglob("*")} == {(4321, 4322)}


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_modes_is_changed_all_the_same(tmp_path: Path, monkeypatch, refusal) -> None:
    def refuse(*_: int) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "fchmod", refuse)
    with changing(tmp_path / "allowed_keys"):
        pass
