"""The record of checks on the disk: nothing of it is lost, and nothing half-written is believed."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from support.disks import fill, needs_root, tmpfs

from inspectd.errors import InputError, UnavailableError
from inspectd.golden.results import CheckDue, CheckResult, CheckVoid, append_line, past_of, read_lines
from inspectd.golden.schedule import GoldenPast
from inspectd.wire import Evaluation
from inspectd.wire.golden import GoldenAgreement, GoldenOutcome, GoldenShowing, GoldenView

SHA = "a" * 64
PASSED, FAILED, ABANDONED = GoldenOutcome


def result(utc_ns: int, outcome: GoldenOutcome = PASSED, sha256: str = SHA) -> CheckResult:
    seen = GoldenView("top", Evaluation.FAIL, "above_threshold", 0.9, 0.5, "b" * 64)
    showing = GoldenShowing(
        "crack", utc_ns, Evaluation.FAIL, 0.8, None, GoldenAgreement.AGREED, [], [seen], "T1"
    )
    return CheckResult(utc_ns, utc_ns - 9, "c1", "kim", "a", 3, sha256, outcome, [], [showing])


def due(utc_ns: int) -> CheckDue:
    return CheckDue(utc_ns, "a", 3, SHA)


def line_bytes(utc_ns: int) -> bytes:
    return msgspec.json.encode(due(utc_ns)) + b"\n"


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "state" / "golden.jsonl"
    assert read_lines(path).lines == []
    written = [due(10), result(20), result(30, FAILED), result(40, ABANDONED)]
    for line in written:
        append_line(path, line)
    read = read_lines(path)
    assert (read.lines, read.checks, read.unreadable, read.left_out_bytes) == (written, written[1:], 0, 0)


def test_a_line_that_was_cut_anywhere_is_cut_off_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    append_line(path, result(20))
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole + whole[:length])
        assert read_lines(path).lines == [result(20)]
    for length in (0, 1, len(whole) - 1):
        path.write_bytes(whole + b"x" * 100_000 * bool(length) + whole[:length])
        append_line(path, due(30))
        assert read_lines(path).lines == [result(20), due(30)]
    path.write_bytes(whole[:-1])
    append_line(path, due(30))
    assert read_lines(path).lines == [due(30)]


@given(junk=some.binary(max_size=200), place=some.integers(0, 2))
def test_lines_that_cannot_be_read_are_counted_and_hide_no_others(tmp_path_factory, junk, place) -> None:
    path = tmp_path_factory.mktemp("golden") / "golden.jsonl"
    good = [result(20), due(30)]
    for line in good:
        append_line(path, line)
    lines = path.read_bytes().splitlines(keepends=True)
    pieces = junk.replace(b"\n", b"?") + b"\n"
    path.write_bytes(b"".join([*lines[:place], pieces, *lines[place:]]))
    read = read_lines(path)
    assert (read.lines, read.unreadable) == (good, 1)


def test_of_a_very_long_file_the_end_is_read_and_the_rest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    for number in range(100):
        append_line(path, due(number))
    one = path.stat().st_size // 100
    read = read_lines(path, most_bytes=10 * one)
    assert [line.utc_ns for line in read.lines] == list(range(100 - len(read.lines), 100))
    assert 8 <= len(read.lines) <= 10
    assert read.left_out_bytes + sum(len(x) for x in path.read_bytes().splitlines(keepends=True)[
        100 - len(read.lines):
    ]) == path.stat().st_size  # fmt: skip


@needs_root
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "64k") as folder:
        path = folder / "golden.jsonl"
        append_line(path, result(20))
        ballast = fill(folder)
        for number in range(40):
            before = path.read_bytes()
            if len(before) // 4096 < len(before + line_bytes(number)) // 4096:
                break
            append_line(path, due(number))  # there is room to the end of its page
        with pytest.raises(UnavailableError, match=r"golden\.jsonl: cannot be written: No space left"):
            append_line(path, due(number))
        assert path.read_bytes() == before
        ballast.unlink()
        append_line(path, due(1))
        assert read_lines(path).lines[-1] == due(1)


def fails(number: int) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("flushed", [0, 1])
def test_of_a_disk_that_takes_nothing_back_no_line_is_left_that_nobody_was_told_of(
    tmp_path, monkeypatch, flushed
):
    path, flush, flushes = tmp_path / "golden.jsonl", os.fsync, []
    append_line(path, result(20, FAILED))

    def fsync(descriptor: int) -> None:
        flushes.append(descriptor)
        (flush if len(flushes) <= flushed else fails(errno.EIO))(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        patched.setattr(os, "ftruncate", fails(errno.EROFS))
        with pytest.raises(UnavailableError, match=r"cannot be written: Input/output error") as caught:
            append_line(path, result(30))
    is_told = "so it may count at the next start" in str(caught.value)
    assert is_told == bool(flushed) == (result(30) in read_lines(path).lines)
    append_line(path, due(40))
    assert read_lines(path).lines[-1] == due(40)


def test_a_file_that_is_no_file_is_an_error_for_people(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):  # which nobody writes into: it is not waited for
        with pytest.raises(InputError, match=r"is not a regular file"):
            read_lines(path)
    with pytest.raises(UnavailableError, match=r"pipe: cannot be written"):
        append_line(tmp_path / "pipe", due(1))
    with pytest.raises(UnavailableError, match=r"cannot be written: Is a directory"):
        append_line(tmp_path, due(1))


@pytest.mark.parametrize(
    ("lines", "past"),
    [
        ([result(20)], GoldenPast(20)),
        ([result(20), result(30, FAILED)], GoldenPast(20, is_failed=True)),
        ([result(20, FAILED), result(30)], GoldenPast(30)),
        ([result(20), due(40), result(50, ABANDONED), due(45)], GoldenPast(20, due_utc_ns=40)),
        ([due(40), result(50)], GoldenPast(50)),
        ([due(40), result(50, FAILED), result(60, ABANDONED)], GoldenPast(is_failed=True, due_utc_ns=40)),
        ([result(20), result(30, sha256="c" * 64)], GoldenPast(20)),
    ],
)
def test_the_past_of_a_schedule_is_what_was_recorded(lines, past) -> None:
    assert past_of(lines)[SHA] == past


@pytest.mark.parametrize(
    "before", [[], [result(20)], [result(20), result(30, FAILED), due(40)], [due(40), result(50, ABANDONED)]]
)
def test_a_pass_that_is_void_changes_nothing(tmp_path, before) -> None:
    path = tmp_path / "golden.jsonl"
    other = result(60, sha256="c" * 64)
    names = ("c2", "c3")  # that the first one is void was not on the disk yet when the second one was
    passes = [msgspec.structs.replace(result(60), check=name) for name in names]
    void = CheckVoid(90, "c2", "a", 3, SHA, "a camera was changed")
    for line in [*before, *passes, other, void]:
        append_line(path, line)
    read = read_lines(path)
    assert past_of(read.lines).get(SHA) == past_of(before).get(SHA)
    assert past_of(read.lines)["c" * 64] == GoldenPast(60)
    assert read.checks[-2].problems == ["passed, but counts for nothing: a camera was changed"]
    append_line(path, result(100))
    assert past_of(read_lines(path).lines)[SHA] == GoldenPast(100)


def test_a_pass_is_void_also_where_a_check_of_the_same_name_ended_before_that_was_written(tmp_path) -> None:
    path = tmp_path / "golden.jsonl"
    for line in (result(10), due(20), result(30), result(40, ABANDONED)):
        append_line(path, line)
    append_line(path, CheckVoid(50, result(30).check, "a", 3, SHA, "a camera was changed", 30))
    assert [each.outcome for each in read_lines(path).checks] == [PASSED, ABANDONED, ABANDONED]
    append_line(
        path, CheckVoid(60, result(60).check, "a", 3, SHA, "of a pass that the disk did not take", 60)
    )
    assert past_of(read_lines(path).lines)[SHA] == past_of([result(10), due(20)])[SHA]


@pytest.mark.parametrize("damage", [b"?\n", b'{"schema":"golden_ch'])
def test_no_pass_before_a_line_that_may_have_been_a_failure_is_believed(tmp_path, damage) -> None:
    path = tmp_path / "golden.jsonl"

    def past() -> dict[str, GoldenPast]:
        read = read_lines(path)
        return past_of(read.lines, read.unbelieved)

    append_line(path, result(20))
    append_line(path, result(20, FAILED, sha256="c" * 64))
    with path.open("ab") as file:
        file.write(damage)
    assert past() == {SHA: GoldenPast(), "c" * 64: GoldenPast(is_failed=True)}
    append_line(path, result(30))
    assert past()[SHA] == GoldenPast(30)
