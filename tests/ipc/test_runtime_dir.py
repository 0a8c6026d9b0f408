"""Who has a line's runtime directory."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

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
