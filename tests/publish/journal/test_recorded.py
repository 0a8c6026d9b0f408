"""A journal is read from a copy, whether a daemon has it or not, and is only read."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path

import pytest
from support.messages import EPOCH, verdict

from inspectd import wire
from inspectd.config import JournalSettings
from inspectd.errors import InputError, UnavailableError
from inspectd.publish.journal.file import NAME, JournalFile
from inspectd.publish.journal.recorded import recorded_verdicts
from inspectd.publish.journal.records import Group, Row


def rows(first: int, last: int, epoch: int = EPOCH) -> Group:
    return Group(
        [
            Row(seq, b"i1/demo/line1/camera1/v/", wire.encode(verdict(seq, epoch)))
            for seq in range(first, last + 1)
        ]
    )


def opened(folder: Path, epoch: int = EPOCH) -> JournalFile:
    file = JournalFile(folder, JournalSettings(), "demo", "line1")
    file.open(epoch, is_first=True, may_raise=True)
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_verdicts_are_read_while_a_daemon_has_the_file_and_after_it_ended(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.commit(EPOCH, rows(1, 400))
    file.commit(EPOCH, Group([Row(401, b"i1/demo/line1/-/p/", b'{"schema":"part/1"}')]))
    before = contents(tmp_path)
    assert list(recorded_verdicts(tmp_path)) == [verdict(seq) for seq in range(1, 401)]
    assert contents(tmp_path) == before
    file.close()
    second = opened(tmp_path, EPOCH + 5)
    second.commit(EPOCH + 5, rows(1, 3, EPOCH + 5))
    second.close()
    before = contents(tmp_path)
    found = [(v.epoch, v.seq) for v in recorded_verdicts(tmp_path / NAME)]
    assert found[399:] == [(EPOCH, 400), (EPOCH + 5, 1), (EPOCH + 5, 2), (EPOCH + 5, 3)]
    assert contents(tmp_path) == before
    newest_first = recorded_verdicts(tmp_path, newest_first=True)
    assert [(v.epoch, v.seq) for v in islice(newest_first, 4)] == found[:398:-1]
    newest_first.close()
    assert list(recorded_verdicts(tmp_path, since_utc_ns=2**62)) == []


def test_whatever_is_written_meanwhile_what_is_read_is_whole(tmp_path: Path) -> None:
    """Each read has every verdict that was committed before it began; logs begin anew on the way."""
    file, done, committed = opened(tmp_path), threading.Event(), [0]
    file.close()

    def write() -> None:
        writer = JournalFile(tmp_path, JournalSettings(), "demo", "line1")
        writer.open(EPOCH, is_first=True, may_raise=False)
        while not done.is_set():
            writer.commit(EPOCH, rows(committed[0] + 1, committed[0] + 150))
            committed[0] += 150
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    reads = 0
    while committed[0] < 6000 and thread.is_alive():
        least = committed[0]
        try:
            found = [v.seq for v in recorded_verdicts(tmp_path)]
        except UnavailableError:  # it may say that it cannot
            continue
        assert found == list(range(1, len(found) + 1))
        assert len(found) >= least
        reads += 1
    done.set()
    thread.join()
    assert reads > 0


def test_a_journal_that_is_not_there_or_damaged_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"journal .*: not found, expected a line's state directory"):
        list(recorded_verdicts(tmp_path))
    file = opened(tmp_path)
    file.commit(EPOCH, rows(1, 400))
    file.close()
    path = tmp_path / NAME
    whole = path.read_bytes()
    at = whole.rindex(b"within_threshold")
    path.write_bytes(whole[:at] + b"Within" + whole[at + 6 :])
    with pytest.raises(InputError, match=r"is damaged: verdict \d+:\d+ is not what was written"):
        list(recorded_verdicts(path))
    path.write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(InputError, match="is damaged: file is not a database"):
        list(recorded_verdicts(path))


@pytest.mark.parametrize(
    "header", [b'{"more": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"camera": "\xff"}', b"{"]
)
def test_a_record_that_is_whole_and_no_verdict_is_said(tmp_path: Path, header: bytes) -> None:
    file = opened(tmp_path)
    file.commit(EPOCH, Group([Row(1, b"i1/demo/line1/camera1/v/", header)]))
    file.close()
    with pytest.raises(InputError, match="holds a verdict of another version"):
        list(recorded_verdicts(tmp_path))
