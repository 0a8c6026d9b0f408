"""The program's files, as they are when a line starts and when a process of it does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspectd.ipc.program import ProgramReplacedError, program_state, refuse_replaced


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "wire").mkdir()
    for name in ("__init__.py", "wire/__init__.py", "wire/codec.py"):
        (tmp_path / name).write_text(f"# {name}")
    return tmp_path


def test_what_is_written_of_a_program_that_runs_is_not_another_one(package: Path) -> None:
    before = program_state(package)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "codec.py").touch()
    (package / "wire" / "codec.pyc").touch()
    assert program_state(package) == before


@pytest.mark.parametrize("change", ["size", "time", "gone", "new"])
def test_another_file_anywhere_in_it_is_another_program(change: str, package: Path) -> None:
    before, file = program_state(package), package / "wire" / "codec.py"
    written = file.stat()
    match change:
        case "size":
            file.write_text("# longer than it was")
            os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))
        case "time":
            os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns + 1_000_000))
        case "gone":
            file.unlink()
        case "new":
            (package / "wire" / "late.py").touch()
    assert program_state(package) != before


def test_a_process_goes_on_by_the_files_it_was_started_from_alone() -> None:
    refuse_replaced("")
    refuse_replaced(program_state())
    with pytest.raises(ProgramReplacedError, match="inspectd were replaced while the line ran"):
        refuse_replaced("another")
