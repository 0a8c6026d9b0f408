"""Who has a line's runtime directory."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest
from support.ordinary import run_without_rights

from inspectd.errors import UnavailableError
from inspectd.ipc.runtime_dir import RuntimeDir


def test_one_at_a_time_and_the_next_when_it_has_ended(tmp_path: Path) -> None:
    other = RuntimeDir(tmp_path / "run")
    with RuntimeDir(tmp_path / "run"), pytest.raises(UnavailableError, match="another inspectd uses"), other:
        pass
    with RuntimeDir(tmp_path / "run") as path:
        assert path.is_dir()
    assert not path.exists()


def test_a_directory_that_was_removed_while_it_was_locked_is_not_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever had it ends, and a third one makes it anew: the lock would be on a directory nobody sees."""
    lock = fcntl.flock

    def late(fd: int, operation: int) -> None:
        (tmp_path / "run").rmdir()
        (tmp_path / "run").mkdir()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UnavailableError, match="another inspectd uses"), RuntimeDir(tmp_path / "run"):
        pass


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UnavailableError, match="No locks available"):
        RuntimeDir(tmp_path / "run").__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("name", ["run", "deep/run"])
def test_another_users_place_is_refused_before_anything_is_made_in_it(tmp_path: Path, name: str) -> None:
    """What root leaves in a place of the line's user keeps that user from starting the line."""
    os.chown(tmp_path, 65534, 65534)
    with (
        pytest.raises(UnavailableError, match=rf"is in {tmp_path}, .*user 65534.*do this as that user"),
        RuntimeDir(tmp_path / name),
    ):
        pass
    assert not [*tmp_path.iterdir()]
    os.chown(tmp_path, 0, 0)
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    with (
        pytest.raises(UnavailableError, match="remove it where no line runs"),
        RuntimeDir(tmp_path / "theirs"),
    ):
        pass


_START = """
import sys
from pathlib import Path
from inspectd.config import PublishSettings
from inspectd.errors import UnavailableError
from inspectd.ipc.runtime_dir import RuntimeDir
from inspectd.publish.door.listeners import Listeners
try:
    with RuntimeDir(Path(sys.argv[1])) as path:
        Listeners(PublishSettings(), path)
except UnavailableError as error:
    print(error)
"""


@pytest.mark.parametrize(("mode", "words"), [(0o555, "may not write to"), (0o0, "may not read")])
def test_a_directory_that_this_user_cannot_use_is_to_be_removed(
    tmp_path: Path, mode: int, words: str
) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=mode)
    said = run_without_rights(_START, run)
    assert f"{words} {run}" in said
    assert "remove it, or choose" in said
    assert "stop what uses it" not in said
