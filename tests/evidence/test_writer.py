from __future__ import annotations

import threading
import time

import msgspec
import numpy as np
from support.disks import disk, frozen, needs_root

from inspectd.evidence.messages import Done, FromEvidence, Level, SaveEvidence, StartEvidence, ToEvidence
from inspectd.evidence.record import Facts, read_record
from inspectd.evidence.store import EvidenceStore
from inspectd.evidence.worker import EvidenceWorker
from inspectd.evidence.writer import Writer
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import Alive
from inspectd.records import EvidenceResult, FrameRef
from tests.evidence.test_store import verdict

PIXELS = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)


def piece(seq: int, heatmap: bytes = b"", shape: tuple[int, int] = (0, 0)):
    facts = msgspec.json.encode(Facts(verdict(seq), {"name": "r"}))
    return SaveEvidence(seq, FrameRef("cam", 1, 0, seq, 0, 0, 20, 30), facts, heatmap, *shape), PIXELS


def until(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_is_waiting_is_written_before_the_end(tmp_path):
    writer = Writer(EvidenceStore(tmp_path, 10**9, 0))
    writer.write(piece(1, np.arange(6, dtype="<f2").tobytes(), (2, 3)))
    writer.write(piece(2))
    writer.finish()
    answers = writer.answers()
    assert [answer for answer in answers if isinstance(answer, Done)] == [
        Done(1, EvidenceResult.SAVED), Done(2, EvidenceResult.SAVED)
    ]  # fmt: skip
    assert answers[0] == Level(0, None)
    with_heatmap, without = (read_record(place) for place in sorted(tmp_path.glob("*/*/*/*")))
    assert (with_heatmap.heatmap.height, with_heatmap.heatmap.width) == (2, 3)
    assert (without.heatmap, without.frame_height, without.frame_width) == (None, 20, 30)


def test_a_disk_that_hangs_shows_and_takes_no_more_than_a_few_frames(tmp_path):
    held = threading.Event()

    class Hanging(EvidenceStore):
        def probe(self) -> None:
            assert held.wait(30)

    writer = Writer(Hanging(tmp_path, 10**9, 0))
    until(lambda: writer.silent_seconds > 0.05)
    count = 0
    while not writer.is_full:
        count += 1
        writer.write(piece(count))
    assert count == 4
    assert writer.answers() == []
    held.set()
    until(lambda: writer.silent_seconds == 0 and not writer.is_full)
    writer.finish()
    assert sum(isinstance(answer, Done) for answer in writer.answers()) == 4


def test_a_disk_that_cannot_be_written_is_said_and_so_is_its_return(tmp_path):
    place = tmp_path / "evidence"
    place.write_text("a file where the directory should be")
    writer = Writer(EvidenceStore(place, 10**9, 0))
    until(lambda: writer.problem is not None)
    assert "evidence: " in writer.problem
    writer.write(piece(1))
    until(lambda: any(isinstance(answer, Done) for answer in writer.answers()))
    place.unlink()
    until(lambda: writer.problem is None)
    writer.finish()


def test_what_came_before_the_tree_was_found_to_be_another_lines_is_not_written_there(tmp_path):
    (tmp_path / ".line").write_text("plant/other\n")
    held = threading.Event()

    class Slow(EvidenceStore):
        def claim(self) -> None:
            assert held.wait(30)
            super().claim()

    writer = Writer(Slow(tmp_path, 10**9, 0, line="plant/mine"))
    writer.write(piece(1))
    held.set()
    writer.finish()
    assert [answer for answer in writer.answers() if isinstance(answer, Done)] == [
        Done(1, EvidenceResult.UNWRITABLE)
    ]
    assert [path.name for path in tmp_path.iterdir()] == [".line"]


@needs_root
def test_a_disk_that_hangs_is_said_by_the_process_which_lives_on_and_so_is_its_return(tmp_path, monkeypatch):
    monkeypatch.setattr("inspectd.evidence.writer._LEVEL_SECONDS", 0.05)
    monkeypatch.setattr("inspectd.evidence.writer._HUNG_SECONDS", 0.3)
    ours, theirs = Channel.pair()
    heard: list[object] = []
    with disk(tmp_path / "evidence") as folder:
        line = Channel(ours, FromEvidence)
        channel = Channel(theirs, ToEvidence)
        worker = EvidenceWorker(channel, StartEvidence(str(folder), 10**9, 0, "p/l"))
        lives = threading.Thread(target=worker.live)
        lives.start()

        def hears(record) -> bool:
            while (received := line.receive()) is not None:
                heard.append(received[0])
            return record in heard

        until(lambda: hears(Level(0, None)))
        with frozen(folder):
            until(lambda: hears(Level(0, "the disk has not answered for 0 s")))
            heard.clear()
            until(lambda: sum(isinstance(each, Alive) for each in heard) > 1 or hears(None))
            assert {type(each) for each in heard} == {Alive}  # and it was said once
        until(lambda: hears(Level(0, None)))
        line.close()
        lives.join(10)
        assert not lives.is_alive()
        channel.close()
