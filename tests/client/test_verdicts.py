"""The verdict readers on real sockets: cursor, restart, losses, asyncio, and what importing them pulls in."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.messages import COUNTS, EPOCH
from support.replaying_line import Line

from inspectd import wire
from inspectd.client import (
    AsyncVerdictReader,
    Cursor,
    Liveness,
    Lost,
    Position,
    Replayed,
    Unread,
    VerdictReader,
    replay,
)
from inspectd.client.joiner import LossReason
from inspectd.errors import InputError
from inspectd.wire import Evaluation, Reason, sync
from inspectd.wire.numbers import UNKNOWN, reason_number
from inspectd.wire.sync import Snapshot


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


def take(reader: VerdictReader, count: int, seconds: float = 10.0) -> list[Any]:
    items: list[Any] = []
    until = time.monotonic() + seconds
    while len(items) < count:
        assert time.monotonic() < until, (items, reader.position)
        item = reader.receive(0.05)
        if item is not None:
            items.append(item)
    assert reader.receive(0.05) is None, "more than was published"
    return items


def take_one(reader: VerdictReader) -> Any:
    until = time.monotonic() + 10
    while (item := reader.receive(0.05)) is None:
        assert time.monotonic() < until, reader.position
    return item


def begin(reader: VerdictReader, start: str) -> None:
    """Wait until a reader that begins now has begun; one that begins with the oldest needs no heartbeat."""
    while reader.position is None and start == "now":
        reader.receive(0.05)


def names(items: list[Any]) -> list[tuple[int, int]]:
    return [(v.epoch - EPOCH, v.seq) for v in items]


def test_a_reader_without_a_past_begins_with_what_comes(line: Line) -> None:
    line.publish(5, live=False)
    with VerdictReader(line.endpoint) as reader:
        assert reader.liveness is Liveness.WAITING
        while reader.position is None:
            assert reader.receive(0.05) is None
        assert reader.liveness is Liveness.ALIVE
        line.publish(3)
        assert names(take(reader, 3)) == [(0, 6), (0, 7), (0, 8)]
        assert reader.heartbeat is not None
    assert line.requests == []


def test_the_header_is_what_the_line_published_with_what_only_a_newer_version_knows(line: Line) -> None:
    line.more = b',"said_by_a_later_version":{"a":[1]}'
    line.publish(2, live=False)
    with VerdictReader(line.endpoint, start="oldest", patience_seconds=0.2) as reader:
        assert reader.header == b""
        for seq in (1, 2, 3):  # replayed, and live
            item = take_one(reader)
            assert item.seq == seq
            assert reader.header == wire.encode(item)[:-1] + line.more + b"}"
            if seq == 2:
                line.publish()
        line.publish(live=False, record=False)
        line.publish()
        assert (type(take_one(reader)), reader.header) == (Lost, b"")


def test_or_with_the_oldest_there_is_if_it_asks_for_it(line: Line) -> None:
    line.publish(10)
    with VerdictReader(line.endpoint, start="oldest") as reader:
        assert not reader.is_caught_up
        assert names(take(reader, 10)) == [(0, n) for n in range(1, 11)]
        while not reader.is_caught_up:
            assert reader.receive(0.05) is None
        line.answers = False
        line.publish(1, live=False)
        while reader.is_caught_up:
            assert reader.receive(0.05) is None
        line.answers = True
        assert names(take(reader, 1)) == [(0, 11)]


def test_of_another_line_behind_the_sync_socket_nothing_is_taken(line: Line, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    with VerdictReader(line.endpoint, line=("demo", "line1"), cursor=cursor, start="oldest") as reader:
        line.publish(3)
        take(reader, 3)
        reader.commit()
        before = cursor.read_bytes()
        line.publish(2, live=False, line="line2")
        with pytest.raises(InputError, match="got a verdict of line demo/line2, expected demo/line1 alone"):
            take(reader, 2)
        reader.commit()
    assert cursor.read_bytes() == before


@pytest.mark.parametrize("start", ["now", "oldest"])
def test_a_reason_that_only_a_later_version_knows_is_read_and_kept(line: Line, start: Any) -> None:
    later = {"evaluation": Evaluation.UNDECIDABLE, "reason": Reason("mirrored")}
    with VerdictReader(line.endpoint, start=start) as reader:
        begin(reader, start)
        line.publish(2)
        line.publish(1, **later)
        line.publish(1, live=False, **later)
        line.publish(1)
        taken = take(reader, 5)
        assert reader.unreadable == 0
    assert [each.reason for each in taken] == [
        "within_threshold", "within_threshold", "mirrored", "mirrored", "within_threshold",
    ]  # fmt: skip
    assert b'"reason":"mirrored"' in wire.encode(taken[2])
    assert reason_number(taken[2].reason) == UNKNOWN


@pytest.mark.parametrize("start", ["now", "oldest"])
@pytest.mark.parametrize("ends", [True, False])
def test_a_verdict_that_cannot_be_read_is_one_that_is_lost(line: Line, start: Any, ends: bool) -> None:
    odd = {"evaluation": "perhaps"}
    with VerdictReader(line.endpoint, start=start) as reader:
        begin(reader, start)
        line.publish(1, **odd)
        line.publish(2)
        line.publish(1, **odd)
        line.publish(2)
        line.publish(2, **odd)
        if ends:
            line.restart()
            line.publish(2)
        taken, expected = take(reader, 10 if ends else 8), [1, 2, 3, 4, 5, 6, 7, 8]
        assert reader.unreadable > 0
    lost = [(each.before.epoch - EPOCH, each.before.seq - 1) for each in taken if isinstance(each, Lost)]
    assert lost == [(0, 1), (0, 4), (0, 7), (0, 8)]
    given = names([each for each in taken if not isinstance(each, Lost)])
    assert sorted(lost + given) == [(0, seq) for seq in expected] + ([(1, 1), (1, 2)] if ends else [])
    assert {each.reason for each in taken if isinstance(each, Lost)} == {LossReason.MISSING}


def test_a_replay_goes_on_behind_what_it_cannot_read(line: Line) -> None:
    line.publish(2)
    line.publish(2, evaluation="perhaps")
    line.publish(2)
    found = list(replay(line.endpoint.replace("verdicts.sock", "sync.sock")))
    assert [type(item) for item in found] == [Replayed] * 2 + [Unread] * 2 + [Replayed] * 2
    assert [item.seq for item in found if isinstance(item, Unread)] == [3, 4]


def test_what_is_missed_in_the_middle_and_at_the_end_comes_in_its_place(line: Line) -> None:
    with VerdictReader(line.endpoint) as reader:
        while reader.position is None:
            reader.receive(0.05)
        line.publish(2)
        line.publish(5, live=False)
        line.publish(1)
        line.publish(4, live=False)
        assert names(take(reader, 12)) == [(0, n) for n in range(1, 13)]


def test_the_cursor_file_lets_the_next_reader_go_on_over_restarts_of_both(line: Line, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    with VerdictReader(line.endpoint, cursor=cursor, start="oldest") as reader:
        line.publish(4)
        take(reader, 4)
        reader.commit()
        line.publish(2)
        take(reader, 2)  # received, not committed: comes again
    line.publish(3, live=False)
    line.restart()
    line.publish(2, live=False)
    (tmp_path / "cursor.new").write_bytes(b"torn")  # of a reader that was killed while it committed
    with VerdictReader(line.endpoint, cursor=cursor) as reader:
        assert names(take(reader, 7)) == [(0, 5), (0, 6), (0, 7), (0, 8), (0, 9), (1, 1), (1, 2)]
        reader.commit()
        assert reader.position == Position(EPOCH + 1, 2)
    assert sorted(p.name for p in tmp_path.iterdir() if "cursor" in p.name) == ["cursor"]


def test_a_cursor_that_the_caller_keeps_does_what_a_file_does(line: Line) -> None:
    with VerdictReader(line.endpoint, start="oldest") as reader:
        assert reader.cursor is None
        line.publish(5)
        take(reader, 5)
        kept = reader.cursor
    assert kept == Cursor("demo", "line1", Position(EPOCH, 5))
    line.publish(2, live=False)
    line.restart()
    line.publish(2)
    with VerdictReader(line.endpoint, cursor=kept) as reader:
        assert names(take(reader, 4)) == [(0, 6), (0, 7), (1, 1), (1, 2)]
        reader.commit()  # there is no file, and so nothing to write
        assert reader.cursor == Cursor("demo", "line1", Position(EPOCH + 1, 2))


def test_nothing_of_another_line_is_taken(line: Line, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    with VerdictReader(line.endpoint, line=("demo", "line1"), cursor=cursor, start="oldest") as reader:
        line.publish(1)
        take(reader, 1)
        reader.commit()
    for other in [("demo", "line2"), ("other", "line1")]:
        with VerdictReader(line.endpoint, line=other) as reader:
            line.publish(1)
            with pytest.raises(InputError, match=f"line demo/line1, expected {'/'.join(other)} alone"):
                take(reader, 1)
        with pytest.raises(InputError, match="got a cursor of line demo/line1"):
            VerdictReader(line.endpoint, line=other, cursor=cursor)


def test_what_is_no_longer_kept_is_named(line: Line, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    with VerdictReader(line.endpoint, cursor=cursor, start="oldest") as reader:
        line.publish(3)
        take(reader, 3)
        reader.commit()
    line.publish(7, live=False)
    line.kept = line.kept[6:]
    with VerdictReader(line.endpoint, cursor=cursor) as reader:
        lost, *rest = take(reader, 5)
    assert (lost.after, lost.before, lost.count) == (Position(EPOCH, 3), Position(EPOCH, 7), 3)
    assert names(rest) == [(0, n) for n in range(7, 11)]


def test_what_was_never_recorded_is_named_and_a_commit_holds_after_it(line: Line, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    with VerdictReader(line.endpoint, cursor=cursor, start="oldest") as reader:
        line.publish(1)
        line.publish(2, live=False, record=False)
        line.publish(1)
        first, lost, last = take(reader, 3)
        assert names([first, last]) == [(0, 1), (0, 4)]
        assert isinstance(lost, Lost)
        assert (lost.count, lost.reason) == (2, "missing")
        reader.commit()
    with VerdictReader(line.endpoint, cursor=cursor) as reader:
        line.publish(1)
        assert names(take(reader, 1)) == [(0, 5)]


def test_a_line_that_does_not_answer_is_given_up_in_the_end(line: Line) -> None:
    line.answers = False
    with VerdictReader(line.endpoint, patience_seconds=0.5) as reader:
        while reader.position is None:
            reader.receive(0.05)
        line.publish(2, live=False)
        line.publish(1)
        lost, last = take(reader, 2)
        assert (lost.count, lost.reason) == (2, "unanswered")
        assert names([last]) == [(0, 3)]


def test_silence_is_stale(line: Line) -> None:
    with VerdictReader(line.endpoint) as reader:
        while reader.position is None:
            reader.receive(0.05)
        line.close()
        until = time.monotonic() + 5
        while reader.liveness is not Liveness.STALE:
            assert time.monotonic() < until
            reader.receive(0.05)


def test_asyncio_reader_does_the_same(line: Line, tmp_path: Path) -> None:
    async def read() -> list[Any]:
        got: list[Any] = []
        async with AsyncVerdictReader(line.endpoint, cursor=tmp_path / "cursor", start="oldest") as reader:
            line.publish(3)
            line.publish(4, live=False)
            line.publish(2)
            async for item in reader:
                got.append(item)
                if len(got) == 9:
                    break
            assert await reader.receive(0.05) is None
            assert reader.liveness is Liveness.ALIVE
            assert reader.heartbeat is not None
            reader.commit()
        async with AsyncVerdictReader(line.endpoint, cursor=tmp_path / "cursor") as reader:
            line.publish(1)
            item = await reader.receive(5)
            assert reader.position == Position(EPOCH, 10)
            return [*got, item]

    assert names(asyncio.run(read())) == [(0, n) for n in range(1, 11)]


def test_a_damaged_cursor_is_refused_and_never_guessed(line: Line, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    for content in (b"", b"{}", b'{"schema":"cursor/1","plant":"p"}', b"\xff"):
        cursor.write_bytes(content)
        with pytest.raises(InputError, match="is not a cursor file"):
            VerdictReader(line.endpoint, cursor=cursor)


def test_a_cursor_of_another_line_is_refused(line: Line, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    cursor.write_text('{"schema":"cursor/1","plant":"demo","line":"line2","position":{"epoch":1,"seq":1}}')
    with (
        VerdictReader(line.endpoint, cursor=cursor) as reader,
        pytest.raises(InputError, match="expected demo/line2"),
    ):
        reader.receive(5)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:5571", "ipc:///tmp/else.sock"])
def test_where_replays_are_asked_for_must_be_known(endpoint: str) -> None:
    with pytest.raises(InputError, match="the sync endpoint must be given"):
        VerdictReader(endpoint)


def test_a_snapshot_is_an_answer_a_reader_passes_over(line: Line) -> None:
    snapshot = Snapshot("1", "demo", "line1", EPOCH, 0, None, "running", "recording", 200.0, COUNTS, {})
    assert sync.decode_answer(wire.encode(snapshot)) == snapshot


BLOCKER = """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ImportError(f"blocked: {name}")
ALLOWED = {"inspectd", "zmq", "msgspec"}
sys.meta_path.insert(0, Blocker())
import inspectd.client
loaded = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(json.dumps([name for name in sys.modules if name.startswith("inspectd.")]))
print(json.dumps([name for name in loaded if not name.startswith(("_", "cython"))]))
"""


def test_the_client_needs_pyzmq_and_msgspec_and_nothing_else() -> None:
    paths = [str(Path(__file__).parents[2]), *sys.path]
    program = f"import sys; sys.path[:] = {paths!r}\n{BLOCKER}"
    ended = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    ours, others = ended.stdout.splitlines()
    assert not {"inspectd.config", "inspectd.ipc", "inspectd.metrics"} & set(json.loads(ours))
    assert set(json.loads(others)) <= {"inspectd", "zmq", "msgspec"}
