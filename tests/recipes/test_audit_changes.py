"""Changes between two records: none without a record, whatever ends the process, and whoever else writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inspectd.errors import InputError, UnavailableError
from inspectd.recipes import audit
from inspectd.recipes.audit import AuditAction, AuditEntry, AuditLog, append_record, recorded_change

ENTRY = AuditEntry(AuditAction.KEY, "anna", "command", "gate1", None, "gate1 read")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def results(path: Path) -> list[str]:
    return [record.result for record in audit.read(path)]


def test_a_change_is_between_two_records_of_which_the_first_is_left_out(path):
    for _ in range(2):
        with recorded_change(path, ENTRY):
            assert results(path)[-1] == "begun"
    assert results(path) == ["begun", "done", "begun", "done"]
    assert [record.seq for record in audit.without_beginnings(audit.read(path))] == [2, 4]


def test_a_change_that_fails_is_recorded_as_failed(path):
    with pytest.raises(InputError, match="no"), recorded_change(path, ENTRY):
        raise InputError("no")
    assert results(path) == ["begun", "failed: no"]


@pytest.mark.parametrize("end", ["killed", "interrupted"])
def test_a_change_that_was_cut_off_is_one_that_was_begun(path, end):
    child = os.fork()
    if child == 0:
        try:
            with recorded_change(path, ENTRY):
                if end == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt  # nobody knows how far it came
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    append_record(path, ENTRY._replace(object="gate2"))
    begun, _ = audit.without_beginnings(audit.read(path))
    assert (begun.object, begun.result) == ("gate1", "begun")
    assert audit.verify(path).records == 2


def test_without_its_first_record_no_change_begins(path):
    append_record(path, ENTRY)
    path.write_bytes(path.read_bytes().replace(b"anna", b"otto"))
    with pytest.raises(InputError, match="its last line: expected a record"), recorded_change(path, ENTRY):
        pytest.fail("it began")


def test_a_change_whose_second_record_is_missing_says_that_it_is_done(path):
    with (
        pytest.raises(UnavailableError, match=r"key gate1 read: is done, and .* says only that it was begun"),
        recorded_change(path, ENTRY),
    ):
        path.write_bytes(path.read_bytes().replace(b"anna", b"otto"))


def test_several_writers_take_turns(path):
    code = (
        "import sys; from pathlib import Path; from inspectd.recipes.audit import *\n"
        "entry = AuditEntry(AuditAction.KEY, sys.argv[2], 'command')\n"
        "for _ in range(40): append_record(Path(sys.argv[1]), entry)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path, name]) for name in ("anna", "otto")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert audit.verify(path).records == 80
    assert [record.who for record in audit.newest_first(path)].count("anna") == 40


def test_a_file_that_nobody_lets_go_is_given_up(path):
    with AuditLog(path), pytest.raises(UnavailableError, match="another process has it, the line's daemon"):
        append_record(path, ENTRY)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_whom_the_folder_does(path):
    os.chown(path.parent, 4321, 4322)
    append_record(path, ENTRY)
    append_record(
        path, AuditEntry(AuditAction.ACTIVATE, "anna", "command", "file", None, f"file@0 {'ab' * 32}", "")
    )
    assert (path.stat().st_uid, path.stat().st_gid) == (4321, 4322)
    assert (
        path.with_suffix(".mark").stat().st_mode & 0o777 == 0o644
    )  # the line reads it and puts others there
