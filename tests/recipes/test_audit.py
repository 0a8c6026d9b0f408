"""The audit file: a chain in which every change shows, and a writer that leaves whole records alone."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inspectd.errors import InputError, UnavailableError
from inspectd.recipes import audit
from inspectd.recipes.audit import AuditAction, AuditFault, AuditLog, InForce
from inspectd.recipes.canonical import canonical_json, sealing_sha256

CELLS = InForce("cells", 2, "ab" * 32)
STARTED = InForce("file", 0, "cd" * 32)


def write(path: Path, records: int = 3) -> bytes:
    with AuditLog(path, clock_ns=iter(range(10**18, 10**18 + 100)).__next__) as log:
        for number in range(records):
            log.append(AuditAction.RELOAD, who="anna", door="local", why=f"töst {number}")
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def activate(log: AuditLog, what: InForce, action: AuditAction = AuditAction.ACTIVATE, **more: str) -> None:
    log.append(action, who="anna", door="local", object=what.id, new=audit.format_in_force(what), **more)


def test_records_come_back_in_order_and_are_chained(path):
    write(path)
    records = list(audit.read(path))
    assert [record.seq for record in records] == [1, 2, 3]
    assert records[0].previous_sha256 == "0" * 64
    assert [record.previous_sha256 for record in records[1:]] == [record.sha256 for record in records[:2]]
    assert audit.verify(path) == audit.AuditSummary(3, 10**18, 10**18 + 2, records[2].sha256)


def test_records_of_a_later_version_are_in_the_chain_and_change_nothing(path):
    with AuditLog(path) as log:
        activate(log, CELLS)
        log.append(AuditAction("calibrate"), who="anna", door="local", new="cells@9 " + "ef" * 32)
        more = {name: getattr(log.last, name) for name in log.last.__struct_fields__ if name != "sha256"}
    fields = more | {"seq": 3, "previous_sha256": log.last.sha256, "shift": "night"}
    fields["sha256"] = sealing_sha256(fields)
    with path.open("ab") as file:
        file.write(canonical_json(fields) + b"\n")
    assert [record.action for record in audit.read(path)] == ["activate", "calibrate", "calibrate"]
    assert audit.verify(path).records == 3
    assert audit.in_force(path) == CELLS
    write(path, 1)
    assert audit.verify(path).records == 4


def test_a_later_start_goes_on_with_the_chain(path):
    write(path)
    write(path)
    assert audit.verify(path).records == 6


def test_another_program_can_verify_it_with_nothing_but_json_and_sha256(path):
    write(path)
    previous = "0" * 64
    for line in path.read_text().splitlines():
        record = json.loads(line)
        sha256 = record.pop("sha256")
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert (hashlib.sha256(text.encode()).hexdigest(), record["previous_sha256"]) == (sha256, previous)
        previous = sha256


def test_a_file_that_is_not_there_holds_nothing(path):
    assert list(audit.read(path)) == list(audit.history(path)) == []
    assert audit.in_force(path) is None
    assert audit.verify(path).records == 0


def test_every_change_of_any_byte_is_found(path):
    whole = write(path)
    for at in range(len(whole)):
        for changed in {whole[at] ^ 1, whole[at] ^ 0x80, ord("\n"), ord(" "), 0} - {whole[at]}:
            path.write_bytes(whole[:at] + bytes([changed]) + whole[at + 1 :])
            fault = audit.verify(path)
            assert isinstance(fault, AuditFault), (at, changed)
            assert fault.line == whole[:at].count(b"\n") + 1, (at, changed)


@pytest.mark.parametrize(
    ("order", "line", "said"),
    [
        ((1, 2), 1, "seq 1, found seq 2"),
        ((0, 2), 2, "seq 2, found seq 3"),
        ((0, 2, 1), 2, "seq 2, found seq 3"),
        ((0, 1, 1, 2), 3, "seq 3, found seq 2"),
    ],
)
def test_missing_moved_and_repeated_lines_are_named(path, order, line, said):
    lines = write(path).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[index] for index in order))
    fault = audit.verify(path)
    assert fault.line == line
    assert said in str(fault)


def test_a_chain_that_is_made_anew_from_the_middle_does_not_fit_what_was_before(path, tmp_path):
    lines = write(path).splitlines(keepends=True)
    with AuditLog(tmp_path / "other") as log:
        for _ in range(3):
            log.append(AuditAction.KEY, who="mallory", door="local")
    other = (tmp_path / "other").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], other[2]]))
    fault = audit.verify(path)
    assert (fault.line, fault.expected[:15]) == (3, "previous_sha256")


KILLED = """
import os, sys; from pathlib import Path; from inspectd.recipes.audit import AuditAction, AuditLog
os.replace = lambda *_: os.kill(os.getpid(), 9)
with AuditLog(Path(sys.argv[1])) as log:
    log.append(AuditAction.ACTIVATE, who="kim", door="local", new="a@1 " + "ab" * 32)
"""


def test_kills_while_it_is_noted_what_counts_leave_one_file_that_is_in_nobodys_way(path):
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == -9
    new = path.with_name("audit.mark.new")
    assert [each for each in path.parent.iterdir() if each != path] == [new]
    new.unlink()
    os.mkfifo(new)  # as little as another user's file can this be written
    with AuditLog(path) as log:
        log.append(AuditAction.ACTIVATE, who="kim", door="local", new="a@1 " + "ab" * 32)
    assert {each.name for each in path.parent.iterdir()} == {path.name, "audit.mark"}


def test_one_process_at_a_time_has_the_file(path):
    with AuditLog(path):
        code = (
            "import sys; from pathlib import Path; from inspectd.recipes.audit import AuditLog\n"
            "try: AuditLog(Path(sys.argv[1])).open()\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"AuditInUseError {path}: another process has it")
    AuditLog(path).open().close()


@pytest.mark.parametrize("kept", range(1, 40, 3))
def test_the_beginning_of_a_record_that_a_crash_left_is_set_aside(path, kept):
    whole = write(path, 2)
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: first + kept])
    with AuditLog(path, clock_ns=lambda: 1_764_000_000_123_456_000) as log:
        assert path.read_bytes() == whole[:first]
        assert log.torn == path.parent / "audit.torn-20251124T160000.123456Z"
        assert log.torn.read_bytes() == whole[first : first + kept]
        assert log.append(AuditAction.KEY, who="x", door="y").seq == 2
    assert audit.verify(path).records == 2


@pytest.mark.parametrize("rest", [1, 40, 200])
def test_the_beginning_of_a_record_is_nothing_altered_to_any_reader(path, rest):
    """A crash left it, or the writer is at work: who reads meanwhile has no lock."""
    whole = write(path, 2)
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: first + rest])
    assert audit.verify(path).records == 1
    assert audit.verify(path).unfinished_bytes == rest
    assert list(audit.read(path)) == list(audit.newest_first(path))
    path.write_bytes(whole[:rest])
    assert (audit.verify(path).records, list(audit.read(path))) == (0, [])


def test_what_no_crash_leaves_behind_the_last_line_break_is_altered_to_every_reader(path):
    whole = write(path, 2)
    for rest in (b"x" * 20_000, whole.splitlines()[1] + b"x"):
        path.write_bytes(whole + rest)
        assert isinstance(audit.verify(path), AuditFault)
        for reads in (audit.read, audit.newest_first):
            with pytest.raises(InputError):
                list(reads(path))


def test_a_file_that_is_only_the_beginning_of_a_record_is_begun_anew(path):
    path.write_bytes(write(path, 1)[:-1])
    with AuditLog(path) as log:
        assert log.torn is not None
        assert log.last is None
        assert path.read_bytes() == b""


def test_a_last_record_that_was_altered_stops_the_writer_and_its_file_stays(path):
    altered = write(path).replace(b"anna", b"otto")
    path.write_bytes(altered)
    with pytest.raises(InputError, match="its last line: expected a record of sha256"):
        AuditLog(path).open()
    assert path.read_bytes() == altered
    path.write_bytes(b"x" * 20_000)
    with pytest.raises(InputError, match="its last line has 20000 bytes"):
        AuditLog(path).open()


def test_a_line_break_that_was_altered_is_no_crash(path):
    path.write_bytes(write(path)[:-1] + b"x")
    for use in (AuditLog(path).open, lambda: audit.in_force(path)):
        with pytest.raises(InputError, match="the line break of its last record was altered"):
            use()


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("room_bytes", [0, 1, 100, 250])
def test_a_full_disk_leaves_the_file_as_it_was_and_the_next_record_follows(path, room_bytes):
    whole = write(path, 2)
    with AuditLog(path) as log:
        with files_of_at_most(len(whole) + room_bytes):
            with pytest.raises(
                UnavailableError, match=r"a record cannot be written: .*; nothing was changed"
            ):
                log.append(AuditAction.KEY, who="x", door="y")
            assert path.read_bytes() == whole
        assert log.append(AuditAction.KEY, who="x", door="y").seq == 3
    assert audit.verify(path).records == 3


def test_a_record_that_a_disk_does_not_take_back_is_not_said_to_have_changed_nothing(path, monkeypatch):
    write(path, 1)

    def fails(number: int) -> Callable[..., None]:
        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return refuse

    with AuditLog(path) as log:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fails(errno.EIO))
            patched.setattr(os, "ftruncate", fails(errno.EROFS))
            with pytest.raises(
                UnavailableError,
                match=r"written: Input/output error; nor .*Read-only.* it may be there all the same",
            ) as caught:
                log.append(AuditAction.KEY, who="x", door="y")
        assert "nothing was changed" not in str(caught.value)
        assert log.append(AuditAction.KEY, who="z", door="y").seq == 2
    assert [record.who for record in audit.read(path)] == ["anna", "z"]


def test_a_file_that_others_change_or_take_away_gets_no_record(path, tmp_path):
    whole = write(path)
    with AuditLog(path) as log:
        path.write_bytes(whole + b"a line of somebody else\n")
        with pytest.raises(UnavailableError, match=r"was changed while it was in use: it has \d+ bytes"):
            log.append(AuditAction.KEY, who="x", door="y")
        path.write_bytes(whole)
        log.append(AuditAction.KEY, who="x", door="y")
        path.rename(tmp_path / "moved")
        with pytest.raises(UnavailableError, match="was removed or replaced"):
            log.append(AuditAction.KEY, who="x", door="y")
        assert not path.exists()


def test_what_cannot_be_opened_is_said(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").touch()
    for path in (tmp_path / "link", tmp_path, tmp_path / "file" / "audit.jsonl"):
        with pytest.raises(UnavailableError, match="cannot be opened"):
            AuditLog(path).open()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnavailableError, match="cannot be used: is not a regular file, expected one"):
        AuditLog(tmp_path / "pipe").open()
    for reads in (audit.in_force, audit.verify):  # without waiting for somebody who writes into it
        with pytest.raises(InputError, match="is not a regular file"):
            reads(tmp_path / "pipe")


def test_texts_of_any_kind_are_bounded_and_make_one_line(path):
    with AuditLog(path) as log:
        record = log.append(
            AuditAction.KEY, who="a\nb\x1b\udc80", door='"\\', why="😀" * 5000, new="\x00" * 400
        )
    assert record.who == "a\\u000ab\\u001b\\udc80"
    assert (len(record.why), record.why[-4:]) == (300, "😀...")
    assert path.read_bytes().count(b"\n") == 1
    assert list(audit.read(path)) == [record]


def test_in_force_is_what_was_last_put_in_force(path):
    with AuditLog(path) as log:
        activate(log, STARTED)
        assert audit.in_force(path) == STARTED
        activate(log, CELLS, old=audit.format_in_force(STARTED))
        activate(log, STARTED, AuditAction.ROLLBACK, result="refused: the bank is damaged")
        log.append(AuditAction.KEY, who="x", door="y", new="z")
        assert audit.in_force(path) == CELLS
        assert [record.seq for record in audit.history(path)] == [1, 2]
        activate(log, STARTED, AuditAction.ROLLBACK)
        assert audit.in_force(path).is_file


@pytest.mark.parametrize("left", [0, 1, 2, None])
def test_a_file_that_lost_what_says_what_is_in_force_says_nothing_else(path, left):
    with AuditLog(path) as log:
        activate(log, STARTED)
        log.append(AuditAction.KEY, who="x", door="y")
        activate(log, CELLS)
    whole = path.read_bytes()
    if left is None:
        path.unlink()
    else:
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:left]))
    for _ in range(3):  # whatever else is recorded, and however much, does not make up for it
        with pytest.raises(InputError, match=r"record 3, which put cells@2 in force, is gone"):
            audit.in_force(path)
        with AuditLog(path) as log:
            log.append(AuditAction.KEY, who="x", door="y")
    cut = path.read_bytes()
    path.write_bytes(whole)
    assert audit.in_force(path) == CELLS
    path.write_bytes(cut)
    with AuditLog(path) as log:
        activate(log, STARTED)  # a person says so
    assert audit.in_force(path) == STARTED


@pytest.mark.parametrize("text", ["", "{", '{"seq":1}', '{"x":' + "[" * 3000, "x" * 5000, "\\xff", None])
def test_a_damaged_mark_is_no_leave_to_judge_by_what_a_cut_file_says(path, text):
    with AuditLog(path) as log:
        activate(log, CELLS)
    mark = path.with_suffix(".mark")
    mark.unlink()
    if text is None:
        mark.mkdir()
    else:
        mark.write_text(text)
    said = (
        r"is damaged.* delete it; else"
        if text is not None
        else r"is not a regular file.* Move it away;.* else"
    )
    with pytest.raises(InputError, match=rf"audit\.mark: {said} say what is in force"):
        audit.in_force(path)
    if text is None:
        with pytest.raises(UnavailableError, match=said), AuditLog(path) as log:
            activate(log, STARTED)
        mark.rmdir()
    else:
        with AuditLog(path) as log:
            activate(log, STARTED)
        assert audit.in_force(path) == STARTED
        mark.unlink()
    assert audit.in_force(path) is not None


def test_who_has_no_copy_of_an_altered_file_is_told_what_helps_and_it_does(path, tmp_path):
    with AuditLog(path) as log:
        activate(log, CELLS)
    whole = path.read_bytes()
    for altered in (whole.replace(b"anna", b"otto"), whole[:-1] + b"x", whole + b"x" * 70_000):
        path.write_bytes(altered)
        for use in (lambda: audit.in_force(path), AuditLog(path).open):
            with pytest.raises(
                InputError, match=r"copy of the file, or else move it .* and say what"
            ) as told:
                use()
            if altered.endswith(b"\n"):  # it has to fit into a refusal's `detail`
                assert len(str(told.value)) - len(str(path.parent)) <= 300 - len("/var/lib/inspectd/line1")
        path.replace(tmp_path / "aside")
        with AuditLog(path) as log:
            activate(log, STARTED)
        assert audit.in_force(path) == STARTED


def test_the_longer_file_of_another_line_does_not_say_what_is_in_force(path, tmp_path):
    with AuditLog(path) as log:
        activate(log, CELLS)
    other = tmp_path / "other" / "audit.jsonl"
    with AuditLog(other) as log:
        for _ in range(3):
            activate(log, STARTED)
    path.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="record 1, which put cells@2 in force, is gone"):
        audit.in_force(path)


@pytest.mark.parametrize("is_first", [True, False])
def test_what_was_recorded_and_told_nobody_is_not_in_force(path, is_first):
    with AuditLog(path) as log:
        if not is_first:
            activate(log, CELLS)
        log.append(
            AuditAction.ACTIVATE, who="anna", door="local", object="file", new=audit.format_in_force(STARTED),
            is_wanted=lambda: False,
        )  # fmt: skip
        log.append(AuditAction.KEY, who="x", door="y")
    assert audit.in_force(path) == (None if is_first else CELLS)
    with AuditLog(path) as log:
        activate(log, STARTED)
    assert audit.in_force(path) == STARTED


def test_what_an_earlier_version_recorded_beside_an_older_mark_counts(path):
    with AuditLog(path) as log:
        activate(log, CELLS)
    older = path.with_suffix(".mark").read_bytes()
    with AuditLog(path) as log:
        activate(log, STARTED)
    path.with_suffix(".mark").write_bytes(older)
    assert audit.in_force(path) == STARTED


def test_what_cannot_be_noted_is_not_in_force(path):
    with AuditLog(path) as log:
        activate(log, CELLS)
    mark = path.with_suffix(".mark")
    kept = mark.read_bytes()
    mark.unlink()
    mark.mkdir()
    with pytest.raises(UnavailableError), AuditLog(path) as log:
        activate(log, STARTED)
    assert len(list(audit.read(path))) == 1
    mark.rmdir()
    mark.write_bytes(kept)
    assert audit.in_force(path) == CELLS


def test_what_is_not_certainly_noted_is_not_in_force(path, monkeypatch):
    with AuditLog(path) as log:
        activate(log, CELLS)
    flushed = []

    def sync_folder(folder: Path) -> None:
        flushed.append(folder)
        if len(flushed) == 2:  # of the announcement, and then of what counts
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("inspectd.recipes.audit.mark.sync_folder", sync_folder)
    with pytest.raises(UnavailableError, match="Input/output error"), AuditLog(path) as log:
        activate(log, STARTED)
    assert audit.in_force(path) == CELLS


def test_that_nobody_can_know_what_is_in_force_next_is_said(path, monkeypatch):
    with AuditLog(path) as log:
        activate(log, CELLS)
    flushed = []

    def sync_folder(folder: Path) -> None:
        flushed.append(folder)
        if len(flushed) > 1:  # neither what counts can be noted for certain, nor that it does not
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("inspectd.recipes.audit.mark.sync_folder", sync_folder)
    said = r"Input/output error; nor that it does not count, so the next start may judge by file@0 or by what"
    with pytest.raises(UnavailableError, match=said), AuditLog(path) as log:
        activate(log, STARTED)


def test_a_file_without_a_mark_is_that_of_an_earlier_version(path):
    with AuditLog(path) as log:
        activate(log, CELLS)
        path.with_suffix(".mark").unlink()
        assert audit.in_force(path) == CELLS
        log.append(
            AuditAction.ACTIVATE, who="anna", door="local", object="file", new=audit.format_in_force(STARTED),
            is_wanted=lambda: False,
        )  # fmt: skip
    assert audit.in_force(path) == CELLS


def test_whoever_may_read_the_file_may_read_the_mark(path):
    with AuditLog(path) as log:
        activate(log, CELLS)
    assert path.with_suffix(".mark").stat().st_mode & 0o777 == 0o644


def test_in_force_is_found_behind_many_other_records(path):
    with AuditLog(path) as log:
        activate(log, CELLS)
        for _ in range(600):
            log.append(AuditAction.KEY, who="x" * 100, door="y" * 100)
    assert path.stat().st_size > 200_000
    assert audit.in_force(path) == CELLS
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":602,"act')  # a crash; nobody was told that this is done
    assert audit.in_force(path) == CELLS
    path.write_bytes(whole.replace(b'"seq":300,', b'"seq":301,'))
    with pytest.raises(InputError, match="from its end: expected a record of sha256"):
        audit.in_force(path)


@pytest.mark.parametrize(
    "text",
    ["", "cells", "cells@2", f"cells@02 {'ab' * 32}", f"cells@0 {'ab' * 32}", f"file@1 {'ab' * 32}",
     f"cells@2 {'AB' * 32}", f"cells@2 {'ab' * 32}\n", f"cells@-1 {'ab' * 32}",
     f"cells@{'9' * 5000} {'ab' * 32}",
     f"../x@1 {'ab' * 32}", f"cells@² {'ab' * 32}"],
)  # fmt: skip
def test_what_names_no_version_is_refused(text):
    with pytest.raises(InputError, match="expected ID@VERSION SHA256"):
        audit.parse_in_force(text)


def test_what_is_in_force_is_read_as_it_is_written():
    for what in (CELLS, STARTED):
        assert audit.parse_in_force(audit.format_in_force(what)) == what


@pytest.mark.parametrize("way", [AuditAction.ACTIVATE, AuditAction.PROMOTE])
def test_a_shadow_that_was_put_in_force_is_none_any_more_also_after_a_way_back(path, way):
    with AuditLog(path) as log:
        activate(log, STARTED)
        activate(log, CELLS, AuditAction.SHADOW)
        activate(log, STARTED, AuditAction.ROLLBACK)
        assert audit.shadowed(path) == CELLS
        activate(log, CELLS, way)
        activate(log, STARTED, AuditAction.ROLLBACK)
        assert audit.shadowed(path) is None
        activate(log, CELLS, AuditAction.SHADOW)
        assert audit.shadowed(path) == CELLS
