"""The real daemon keeps evidence, and loses no verdict to it whatever happens to it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from support.ports import free_port

from inspectd.bank.file import read_bank, write_bank
from inspectd.cli import main
from inspectd.evidence.pictures import read_frame
from inspectd.evidence.record import EvidenceRecord, read_record
from inspectd.wire import Evaluation
from tests.support.daemon import Daemon, camera_table, settings
from tests.support.disks import needs_root, remount, tmpfs


def line(
    bank: Path, folder: Path, evidence: str, *, threshold: float = 1.0, loop: bool = True, **more
) -> str:
    cameras = camera_table("cam", folder, fps=10, shuffle_seed=1, loop=loop)
    return settings(bank, cameras, recipe=f"threshold = {threshold}", extra=f"[evidence]\n{evidence}", **more)


def pieces(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*/*/*/*") if not path.name.endswith(".partial"))


def kept_bytes(root: Path) -> int:
    """What the pieces take; those that go meanwhile do not count."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).stat().st_blocks * 512
    return total


def is_sound(daemon: Daemon) -> None:
    """Stops a daemon and checks that each frame has one verdict, numbered without a gap."""
    assert daemon.stop() == 0
    counts = daemon.reader.event("stopped").counts
    assert counts.captured == counts.verdicts + counts.drops
    assert counts.drops == 0
    assert [v.seq for v in daemon.reader.verdicts] == list(range(1, counts.verdicts + 1))
    assert "Traceback" not in daemon.log.read_text()


def samples(port: int, name: str) -> dict[str, float]:
    """The value of each sample whose line begins so, by the rest of its name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines()]
    return {what.removeprefix(name): float(value) for what, value in lines if what.startswith(name)}


def metric(port: int, name: str) -> float:
    return next(iter(samples(port, name).values()))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 4 MB."""
    with tmpfs(tmp_path / "small", "4m") as place:
        yield place


def test_what_did_not_pass_is_kept_with_all_that_explains_it(start_daemon, stub_bank, mixed_folder):
    port = free_port()
    evidence = "pass_share = 0.3\nmax_per_second = 50"
    daemon = start_daemon(line(stub_bank, mixed_folder, evidence, loop=False, metrics_port=port)).ready()
    root = daemon.folder / "state" / "evidence"
    seen = daemon.reader.verdicts

    def is_settled():
        """The pictures are at their end, and every fail is kept or counted as not kept."""
        if daemon.phases() != ["ended"] or len(seen) < 40:
            return False
        evaluations = [read_record(place).verdict.evaluation for place in pieces(root)]
        fails = sum(v.evaluation is Evaluation.FAIL for v in seen)
        return evaluations.count(Evaluation.FAIL) + not_kept() >= fails

    def not_kept():
        results = samples(port, "inspectd_evidence_total")
        return sum(count for labels, count in results.items() if 'result="saved"' not in labels)

    daemon.until(is_settled)
    skipped = not_kept()
    is_sound(daemon)

    records = {place: read_record(place) for place in pieces(root)}
    # Evidence is taken when a part is judged; whether the journal kept up is known later.
    verdicts = {v.seq: msgspec.structs.replace(v, journaled=True) for v in seen}
    kept = [record.verdict for record in records.values()]
    assert kept == [verdicts[v.seq] for v in kept]  # in order of time, as they were published
    fails = {v.seq for v in seen if v.evaluation is Evaluation.FAIL}
    assert len(fails) > 5
    assert len(fails - {v.seq for v in kept}) <= skipped < len(fails)
    passes = sum(v.evaluation is Evaluation.PASS for v in kept)
    assert 0 < passes < sum(v.evaluation is Evaluation.PASS for v in seen)
    for place, record in records.items():
        pixels = read_frame(place / "frame.png")
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == record.verdict.frame_sha256
        assert sorted(path.name for path in place.iterdir()) == ["evidence.json", "frame.png", "heatmap.png"]
        assert record.recipe["threshold"] == 1.0
        assert record.recipe["bank"] == record.verdict.bank_sha256
    assert {v.software for v in seen} == {kept[0].software}
    assert len({v.recipe_sha256 for v in seen}) == 1
    assert len({v.frame_sha256 for v in seen}) > 20


def test_explain_finds_the_bank_and_the_same_score(
    start_real_daemon, bank_file, mixed_folder, tmp_path, capsys
):
    daemon = start_real_daemon(line(bank_file, mixed_folder, "max_per_second = 50", threshold=6.0)).ready()
    root = daemon.folder / "state" / "evidence"
    daemon.until(lambda: len(pieces(root)) > 2)
    is_sound(daemon)
    place = pieces(root)[0]

    command = [sys.executable, "-m", "inspectd", "explain", str(place), "--config", str(daemon.file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same score" in done.stdout
    assert "differs" not in done.stdout
    assert read_frame(place / "explained.png").shape[1] > 900

    def explain(*options: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(["explain", str(place), *options]), *capsys.readouterr()

    other = tmp_path / "other.safetensors"
    bank = read_bank(bank_file)
    write_bank(other, bank.manifest, bank.tensors | {"head.mean": bank.tensors["head.mean"] + 1})
    code, said, _ = explain("--bank", str(other), "--out", str(tmp_path / "other.png"))
    assert code == 1
    assert "a different score" in said
    assert "differs" in said

    changed = daemon.file.read_text().replace(str(bank_file), str(other))
    daemon.file.write_text(changed)
    code, _, problem = explain("--config", str(daemon.file))
    assert code == 2
    assert "has the bank of this verdict" in problem

    pixels = (place / "frame.png").read_bytes()
    (place / "frame.png").write_bytes((pieces(root)[1] / "frame.png").read_bytes())
    code, _, problem = explain("--bank", str(bank_file))
    assert code == 2
    assert "is not the frame that was judged" in problem
    (place / "frame.png").write_bytes(pixels)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_evidence_process_costs_evidence_only(start_daemon, stub_bank, mixed_folder, signum):
    daemon = start_daemon(
        line(stub_bank, mixed_folder, "pass_share = 1.0\nmax_per_second = 50", deadline_ms=3000)
    ).ready()
    root = daemon.folder / "state" / "evidence"
    daemon.until(lambda: len(pieces(root)) > 3)
    old = daemon.children()["evidence"]
    os.kill(old, signum)
    stopped_at = len(daemon.reader.verdicts)
    daemon.until(lambda: "evidence" in (daemon.reader.event("process_restarted") or NO_EVENT).detail, 30)
    daemon.until(lambda: daemon.children().get("evidence", old) != old)
    kept = len(pieces(root))
    daemon.until(lambda: len(pieces(root)) > kept + 3 and len(daemon.reader.verdicts) > stopped_at + 20)
    is_sound(daemon)
    meanwhile = daemon.reader.verdicts[stopped_at:]
    assert {v.evaluation for v in meanwhile} == {Evaluation.PASS, Evaluation.FAIL}
    assert not list(root.glob("*/*/*/*.partial"))


SKIPS = ("busy", "timeout")
"""Of a machine that has other things to do: evidence is skipped then, and counted."""


class _NoEvent:
    detail = ""


NO_EVENT = _NoEvent()


@needs_root
def test_a_full_disk_is_an_alarm_and_the_line_goes_on(start_daemon, stub_bank, mixed_folder, small_disk):
    port = free_port()
    daemon = start_daemon(
        line(
            stub_bank,
            mixed_folder,
            f'dir = "{small_disk}/evidence"\npass_share = 1.0\nmax_per_second = 50\nmin_free_mb = 1',
            metrics_port=port,
        )
    ).ready()
    daemon.until(lambda: len(pieces(small_disk / "evidence")) > 2)
    began = time.monotonic()
    daemon.until(lambda: daemon.reader.event("evidence_stopped"), 30)
    assert "MB are free" in daemon.reader.event("evidence_stopped").detail
    assert metric(port, "inspectd_evidence_writable") == 0
    seen = len(daemon.reader.verdicts)
    daemon.until(lambda: len(daemon.reader.verdicts) > seen + 10)

    hog = next(iter(pieces(small_disk / "evidence")))
    for place in pieces(small_disk / "evidence")[:5]:
        for file in place.iterdir():
            file.unlink()
    assert hog.is_dir()
    daemon.until(lambda: daemon.reader.event("evidence_resumed"), 10)
    assert time.monotonic() - began < 60

    (small_disk / "hog").write_bytes(b"")
    began = time.monotonic()
    seen = len([e for e in daemon.reader.events if e.event == "evidence_stopped"])
    with contextlib.suppress(OSError), (small_disk / "hog").open("wb") as hog_file:
        hog_file.write(bytes(_free(small_disk)))  # the line writes meanwhile: full it is either way
    daemon.until(lambda: len([e for e in daemon.reader.events if e.event == "evidence_stopped"]) > seen, 10)
    assert time.monotonic() - began < 10
    is_sound(daemon)


def _free(place: Path) -> int:
    state = os.statvfs(place)
    return state.f_bavail * state.f_frsize


@needs_root
def test_a_read_only_disk_is_an_alarm_within_ten_seconds(start_daemon, stub_bank, mixed_folder, tmp_path):
    with tmpfs(tmp_path / "disk", "50m") as place:
        daemon = start_daemon(
            line(stub_bank, mixed_folder, f'dir = "{place}/evidence"\nmin_free_mb = 1')
        ).ready()
        remount(place, writable=False)
        daemon.until(lambda: daemon.reader.event("evidence_stopped"), 10)
        assert "Read-only file system" in daemon.reader.event("evidence_stopped").detail
        remount(place, writable=True)
        daemon.until(lambda: daemon.reader.event("evidence_resumed"), 10)
        is_sound(daemon)


def test_the_quota_of_a_running_line_holds(start_daemon, stub_bank, mixed_folder):
    port = free_port()
    evidence = "quota_mb = 2\npass_share = 1.0\nmax_per_second = 50"
    daemon = start_daemon(line(stub_bank, mixed_folder, evidence, metrics_port=port)).ready()
    root = daemon.folder / "state" / "evidence"
    daemon.until(lambda: len(pieces(root)) > 3)
    first = pieces(root)[0]
    daemon.until(lambda: not first.exists(), 60)
    assert kept_bytes(root) <= 2_500_000  # one piece is written before the oldest goes
    last = daemon.reader.verdicts[-1].seq
    skipped = sum(
        metric(port, f'inspectd_evidence_total{{line="line",result="{result}"}}') for result in SKIPS
    )
    is_sound(daemon)
    records: list[EvidenceRecord] = [read_record(place) for place in pieces(root)]
    seqs = [seq for record in records if (seq := record.verdict.seq) <= last]
    assert len(seqs) > 3
    assert seqs == sorted(seqs)
    assert last - seqs[0] + 1 - len(seqs) <= skipped, "the newest, without a hole that is not counted"
