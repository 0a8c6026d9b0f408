from __future__ import annotations

import itertools
import random
import shutil

import pytest
from support.ordinary import run_without_rights

from inspectd.evidence.store import EvidenceStore, NoSpaceError
from inspectd.wire import Evaluation, Reason, Verdict

DAY_NS = 86_400 * 1_000_000_000
START_NS = 1_763_924_431_250_000_000


def verdict(seq: int, utc_ns: int = START_NS) -> Verdict:
    return Verdict(
        plant="p", line="l", camera="cam", epoch=7, seq=seq, inspection_id=seq, frame_generation=1,
        frame_seq=seq, evaluation=Evaluation.FAIL, reason=Reason.ABOVE_THRESHOLD, score=2.0, threshold=1.0,
        captured_utc_ns=utc_ns, decided_utc_ns=utc_ns, latency_ms=1.0, deadline_ms=500.0, late=False,
        recipe="r", bank_sha256="00", dropped_before=0,
    )  # fmt: skip


def pieces(root) -> list[str]:
    return sorted(str(place.relative_to(root)) for place in root.glob("*/*/*/*"))


def test_a_piece_lies_whole_under_its_date(tmp_path):
    store = EvidenceStore(tmp_path / "evidence", 10**9, 0)
    store.probe()
    store.save(verdict(1), {"frame.png": b"frame", "evidence.json": b"{}"})
    (place,) = pieces(tmp_path / "evidence")
    assert place == "2025/11/23/190031.250_cam_7-1_fail"
    assert (tmp_path / "evidence" / place / "frame.png").read_bytes() == b"frame"
    assert sorted(path.name for path in (tmp_path / "evidence").iterdir()) == ["2025"]


@pytest.mark.parametrize("seed", range(3))
def test_the_quota_holds_and_the_oldest_goes_first(tmp_path, seed):
    rng = random.Random(seed)
    store = EvidenceStore(tmp_path, 500_000, 0)
    store.probe()
    for n in range(60):
        store.save(
            verdict(n, START_NS + n * DAY_NS // 3), {"frame.png": rng.randbytes(rng.randrange(1, 60_000))}
        )
        on_disk = sum(path.stat().st_blocks * 512 for path in tmp_path.glob("*/*/*/**/*") if path.is_file())
        assert on_disk <= store.used_bytes <= 500_000
    seqs = [int(place.split("-")[-1].removesuffix("_fail")) for place in pieces(tmp_path)]
    assert seqs == list(range(60 - len(seqs), 60))
    assert 5 < len(seqs) < 40
    days = {place.rpartition("/")[0] for place in pieces(tmp_path)}
    assert {str(day.relative_to(tmp_path)) for day in tmp_path.glob("*/*/*")} == days  # no empty day is left


def test_a_new_process_goes_on_where_the_last_one_was_killed(tmp_path):
    first = EvidenceStore(tmp_path, 10**9, 0)
    first.probe()
    for n in range(5):
        first.save(verdict(n), {"frame.png": bytes(10_000)})
    torn = next(tmp_path.glob("*/*/*")) / "190031.999_cam_7-9_fail.partial"
    torn.mkdir()
    (torn / "frame.png").write_bytes(bytes(5000))
    second = EvidenceStore(tmp_path, 10**9, 0)
    second.probe()
    assert second.used_bytes == first.used_bytes
    assert not torn.exists()
    smaller = EvidenceStore(tmp_path, first.used_bytes, 0)
    smaller.probe()
    smaller.save(verdict(6), {"frame.png": bytes(10_000)})
    assert [place.split("-")[-1] for place in pieces(tmp_path)] == [f"{n}_fail" for n in (1, 2, 3, 4, 6)]


def test_what_a_clock_that_was_ahead_has_dated_is_as_old_as_it_is(tmp_path):
    def started() -> EvidenceStore:
        store = EvidenceStore(tmp_path, 200_000, 0)
        store.probe()
        return store

    before = started()
    for n in (8, 9, 10):
        before.save(verdict(n, START_NS + 365 * DAY_NS), {"frame.png": bytes(40_000)})
    before.save(verdict(11), {"frame.png": bytes(40_000)})
    started().save(verdict(12), {"frame.png": bytes(40_000)})
    assert {place.split("-")[-1] for place in pieces(tmp_path)} == {f"{n}_fail" for n in (9, 10, 11, 12)}


def test_a_piece_that_a_person_took_away_is_passed_over(tmp_path):
    store = EvidenceStore(tmp_path, 60_000, 0)
    store.probe()
    store.save(verdict(1), {"frame.png": bytes(30_000)})
    for path in next(tmp_path.glob("*/*/*/*")).iterdir():
        path.unlink()
    next(tmp_path.glob("*/*/*/*")).rmdir()
    for n in (2, 3, 4):
        store.save(verdict(n), {"frame.png": bytes(30_000)})
    assert len(pieces(tmp_path)) == 1


def test_what_must_stay_free_for_others_stays_free(tmp_path):
    store = EvidenceStore(tmp_path / "evidence", 10**9, 10**18)
    with pytest.raises(NoSpaceError, match=r"MB are free, evidence\.min_free_mb is"):
        store.probe()
    with pytest.raises(NoSpaceError):
        store.save(verdict(1), {"frame.png": b""})
    assert pieces(tmp_path / "evidence") == []


def test_names_in_order_are_times_in_order(tmp_path):
    store = EvidenceStore(tmp_path, 10**9, 0)
    store.probe()
    rng = random.Random(1)
    times = sorted(START_NS + rng.randrange(400 * DAY_NS) for _ in range(50))
    for n, utc_ns in enumerate(times):
        store.save(verdict(n, utc_ns), {"frame.png": b""})
    seqs = [int(place.split("-")[-1].removesuffix("_fail")) for place in pieces(tmp_path)]
    assert all(a < b for a, b in itertools.pairwise(seqs))


def test_what_a_person_took_away_or_left_in_the_tree_stops_nothing(tmp_path):
    store = EvidenceStore(tmp_path, 60_000, 0)
    store.probe()
    store.save(verdict(1), {"frame.png": bytes(30_000)})
    shutil.rmtree(tmp_path / "2025")
    store.save(
        verdict(2, START_NS + DAY_NS), {"frame.png": bytes(50_000)}
    )  # over the quota by the one that is gone
    assert len(pieces(tmp_path)) == 1
    (tmp_path / "2025" / "11" / "24" / "notes.txt").write_text("mine")
    again = EvidenceStore(tmp_path, 60_000, 0)
    again.probe()
    assert again.used_bytes == store.used_bytes


def test_pictures_of_others_that_lie_by_date_too_are_never_removed(tmp_path):
    mine = [
        tmp_path / "2024/01/02" / name for name in ("part-7", "120000.000_cam_7-1", "a_1-1_fail", "x.partial")
    ]
    for folder in mine:
        folder.mkdir(parents=True)
        (folder / "picture.png").write_bytes(bytes(30_000))
    store = EvidenceStore(tmp_path, 40_000, 0)
    store.probe()
    assert store.used_bytes == 0
    for n in range(3):
        store.save(verdict(n), {"frame.png": bytes(30_000)})
    assert all((folder / "picture.png").exists() for folder in mine)
    assert len(pieces(tmp_path / "2025/11/23")) == 0
    assert len(list(tmp_path.glob("2025/11/23/*"))) == 1


_STUCK = """
import os, pathlib, sys
from inspectd.evidence.store import EvidenceStore, NoSpaceError
from tests.evidence.test_store import verdict
root = pathlib.Path(sys.argv[1])
now = 0.0
store = EvidenceStore(root, 200_000, 0, clock=lambda: now)
store.probe()
first = store.save(verdict(0), {"frame.png": bytes(30_000)})
os.chmod(first, 0o500)
for n in range(1, 20):
    place = store.save(verdict(n), {"frame.png": bytes(30_000)})
    store.probe()
    assert place.is_dir() and store.used_bytes <= 200_000, n
assert str(first) in store.stuck and "cannot be removed" in store.stuck, store.stuck
kept = sorted(int(place.name.split("-")[1].split("_")[0]) for place in root.glob("*/*/*/*"))
assert kept == [0, 16, 17, 18, 19], kept
os.chmod(first, 0)  # it may not even be listed
again = EvidenceStore(root, 200_000, 0)
again.probe()
assert str(first) in again.stuck and "cannot be listed" in again.stuck, again.stuck
again.save(verdict(30), {"frame.png": bytes(30_000)})
os.chmod(first, 0o700)  # a person mends it
now += 3600
store.probe()
assert store.stuck is None
for n in (40, 41, 42):
    store.save(verdict(n), {"frame.png": bytes(30_000)})
assert not first.exists() and store.stuck is None
alone = EvidenceStore(root, 50_000, 0)
alone.probe()
for place in root.glob("*/*/*/*"):
    os.chmod(place, 0o500)
alone.save(verdict(50), {"frame.png": bytes(30_000)})
try:
    alone.probe()
except NoSpaceError as error:
    assert "evidence.quota_mb is filled by what cannot be removed" in str(error), error
else:
    raise AssertionError
"""


def test_a_piece_that_cannot_be_removed_or_listed_holds_up_nothing(tmp_path):
    run_without_rights(_STUCK, tmp_path)


def test_a_link_that_a_person_left_in_a_pieces_place_stays(tmp_path):
    store = EvidenceStore(tmp_path / "evidence", 60_000, 0)
    store.probe()
    place = store.save(verdict(1), {"frame.png": bytes(30_000)})
    place.rename(tmp_path / "archive")
    place.symlink_to(tmp_path / "archive")
    for n in (2, 3, 4):
        store.save(verdict(n), {"frame.png": bytes(30_000)})
    assert store.stuck is None
    assert (place / "frame.png").exists()
    again = EvidenceStore(tmp_path / "evidence", 60_000, 0)
    again.probe()
    assert again.used_bytes == store.used_bytes


@pytest.mark.parametrize("folder", ["2025", "2025/11", "2025/11/23"])
def test_what_lies_behind_a_link_that_a_person_left_in_a_days_place_stays(tmp_path, folder):
    tree = tmp_path / "evidence"
    now_ns = START_NS
    store = EvidenceStore(tree, 60_000, 0, utc_ns=lambda: now_ns)
    store.probe()
    place = store.save(verdict(1), {"frame.png": bytes(30_000)})
    (tree / folder).rename(tmp_path / "archive")
    (tree / folder).symlink_to(tmp_path / "archive")
    with pytest.raises(NoSpaceError, match="a link is in place of the day, month or year"):
        store.save(verdict(2), {"frame.png": bytes(30_000)})  # nobody would take it away again
    with pytest.raises(NoSpaceError, match="a link is in place of the day, month or year"):
        store.probe()  # so that it is not writable by turns
    now_ns += 400 * DAY_NS
    store.probe()
    for n in range(2, 5):
        store.save(verdict(n, START_NS + 400 * DAY_NS), {"frame.png": bytes(30_000)})
    assert store.stuck is None
    assert (place / "frame.png").exists()
    assert len(pieces(tree)) == 2


@pytest.mark.parametrize("place", ["2025", "2025/11", "2025/11/23"])
def test_what_is_in_the_place_of_todays_folder_is_found_by_the_look(tmp_path, place):
    store = EvidenceStore(tmp_path, 60_000, 0, utc_ns=lambda: START_NS)
    store.probe()
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("")
    with pytest.raises(NotADirectoryError):
        store.probe()
    (tmp_path / place).unlink()
    store.probe()
    store.save(verdict(1), {"frame.png": b"0"})
    store.probe()
    assert not list(tmp_path.rglob(".probe"))


def test_a_tree_belongs_to_one_process(tmp_path):
    first, second = (EvidenceStore(tmp_path, 10**9, 0) for _ in range(2))
    first.claim()
    first.claim()
    with pytest.raises(BlockingIOError, match="another inspectd keeps its evidence here"):
        second.claim()


def test_a_tree_belongs_to_one_line(tmp_path):
    owner = tmp_path / ".line"
    owner.write_text("plant/line1\n")
    store = EvidenceStore(tmp_path, 10_000, 0, line="plant/line2")
    for _ in range(2):
        with pytest.raises(PermissionError, match="the evidence here is line plant/line1's"):
            store.claim()
    own = EvidenceStore(tmp_path, 10_000, 0, line="plant/line1")
    own.claim()  # which the other one does not hold up
    own.claim()


@pytest.mark.parametrize("content", [None, ""])
def test_a_tree_that_is_nobodys_becomes_the_lines(tmp_path, content):
    owner = tmp_path / ".line"
    if content is not None:
        owner.write_text(content)  # as a power cut leaves it
    EvidenceStore(tmp_path, 10_000, 0, line="plant/line2").claim()
    assert owner.read_text() == "plant/line2\n"
    assert [path.name for path in tmp_path.iterdir()] == [".line"]
