"""A whole line: real images through the real daemon, read from its bus."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from pathlib import Path

import cv2
import pytest
from support.daemon import camera_table, settings
from support.ports import free_port

from inspectd.scoring.stub import Behaviour
from inspectd.wire import Evaluation


def assert_libraries_are_where_they_belong(daemon) -> None:
    mapped = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    for library in ("libtorch", "cv2", "swigfaiss"):
        assert library not in mapped
    worker = Path(f"/proc/{daemon.children()['scoring']}/maps").read_text()
    assert "openvino" in worker  # the test looks at the right place


def test_every_image_of_two_cameras_gets_one_verdict_and_the_main_process_has_loaded_no_torch_cv2_or_faiss(
    start_real_daemon, bank_file, mixed_folder, good_folder
):
    cameras = camera_table("left", mixed_folder, fps=10, loop=False) + camera_table(
        "right", good_folder, fps=10, loop=False
    )
    daemon = start_real_daemon(settings(bank_file, cameras))
    daemon.until(lambda: daemon.phases() == ["ended", "ended"], 60)
    assert_libraries_are_where_they_belong(daemon)
    assert daemon.stop() == 0

    verdicts = daemon.reader.verdicts
    stopped = daemon.reader.event("stopped")
    assert stopped is not None
    assert stopped.counts.captured == 80
    assert stopped.counts.in_flight == 0
    assert stopped.counts.captured == stopped.counts.verdicts + stopped.counts.drops
    assert [v.seq for v in verdicts] == list(range(1, 81))
    assert len({(v.camera, v.frame_generation, v.frame_seq) for v in verdicts}) == 80
    assert {v.epoch for v in verdicts} == {stopped.epoch}
    assert not [v for v in verdicts if v.evaluation is Evaluation.UNDECIDABLE]

    by_label: dict[str, list[float]] = {"good": [], "defective": []}
    for verdict in verdicts:
        if verdict.camera == "left":
            by_label[verdict.label].append(verdict.score)
        assert (verdict.evaluation is Evaluation.PASS) == (verdict.score <= verdict.threshold)
    pairs = [good < bad for good in by_label["good"] for bad in by_label["defective"]]
    assert sum(pairs) / len(pairs) > 0.9  # image AUROC of the published scores


def test_a_frame_of_another_size_or_depth_is_undecidable_unless_sizes_do_not_matter(
    start_real_daemon, bank_file, good_folder, tmp_path
):
    cell = cv2.imread(str(min(good_folder.iterdir())))
    half = cv2.resize(cell, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    for name, picture in {"1.png": cell, "2.png": half, "3.png": cell[:, :200]}.items():
        (tmp_path / "sizes").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "sizes" / name), picture)
    (tmp_path / "deep").mkdir()
    cv2.imwrite(str(tmp_path / "deep" / "1.png"), cell.astype("u2") * 16)
    any_size = f"""[[recipes]]\nname = "any"\nbank = "{bank_file}"\nany_size = true\n"""
    cameras = "".join(
        (
            camera_table("strict", tmp_path / "sizes", loop=False),
            camera_table("lax", tmp_path / "sizes", loop=False, recipe="any"),
            camera_table("deep", tmp_path / "deep", loop=False, recipe="any", bit_depth=12),
        )
    )
    daemon = start_real_daemon(settings(bank_file, cameras, recipe=any_size))
    daemon.until(lambda: daemon.phases() == ["ended"] * 3, 60)
    assert daemon.stop() == 0
    found = {(v.camera, v.source): (v.evaluation, v.reason) for v in daemon.reader.verdicts}
    assert {name for name, (_, reason) in found.items() if reason == "format"} == {
        ("strict", "2.png"), ("strict", "3.png"), ("deep", "1.png"),
    }  # fmt: skip
    assert all((evaluation == "undecidable") == (reason == "format") for evaluation, reason in found.values())
    told = {e.camera: e.detail for e in daemon.reader.events if e.event == "format_changed"}
    assert told.keys() == {"strict", "deep"}
    assert told["strict"] == "frames are 150x150, the images of recipe cell were 300x300"
    assert sum(e.event == "format_changed" for e in daemon.reader.events) == 2


def test_the_counts_close_on_the_metrics_endpoint_and_machines_can_read_the_log(
    start_daemon, stub_bank, good_folder
):
    port = free_port()
    camera = camera_table("cam", good_folder, fps=50, loop=False)
    text = settings(stub_bank, camera, metrics_port=port, extra='[log]\nformat = "json"')
    daemon = start_daemon(text)
    daemon.until(
        lambda: daemon.phases() == ["ended"] and daemon.reader.heartbeats[-1].counts.in_flight == 0, 60
    )
    daemon.until(lambda: len(daemon.reader.verdicts) == 40)  # the last ones may still be on their way
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    value = {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"
    }

    def total(prefix: str) -> float:
        return sum(v for k, v in value.items() if k.startswith(prefix))

    captured = total("inspectd_frames_captured_total")
    closed = total("inspectd_verdicts_total") + total("inspectd_drops_total")
    assert captured == closed == 40
    assert total("inspectd_scoring_up") == 1
    assert total("inspectd_camera_up") == 1
    assert daemon.stop() == 0
    events = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    assert {"started", "scoring_ready", "camera_up", "draining", "stopped"} <= {e["event"] for e in events}


def test_a_line_with_a_full_queue_says_overload_and_still_closes_its_count(
    start_daemon, stub_bank, mixed_folder
):
    camera = camera_table("cam", mixed_folder, fps=400, loop=True, slots=64)
    text = settings(stub_bank, camera, deadline_ms=300, extra="[batching]\nmax_queue = 2\nmax_batch = 1")
    daemon = start_daemon(text, behaviour=Behaviour(latency_ms=20)).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 400)
    assert daemon.stop() == 0
    stopped = daemon.reader.event("stopped")
    assert stopped.counts.captured == stopped.counts.verdicts + stopped.counts.drops
    reasons = {v.reason for v in daemon.reader.verdicts if v.evaluation is Evaluation.UNDECIDABLE}
    assert "overload" in reasons
    late = [v for v in daemon.reader.verdicts if v.late and v.evaluation is Evaluation.PASS]
    assert not late


@pytest.mark.timed
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_is_quick_and_leaves_nothing(start_daemon, stub_bank, mixed_folder, signum):
    cameras = "".join(camera_table(f"cam{i}", mixed_folder, fps=30) for i in range(2))
    daemon = start_daemon(settings(stub_bank, cameras, extra="[evidence]\npass_share = 1")).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 50)
    children = daemon.children()
    assert set(children) == {"cam0", "cam1", "scoring", "evidence", "door:local"}
    began = time.monotonic()
    assert daemon.stop(signum) == 0
    assert time.monotonic() - began < 5
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]
    assert not daemon.runtime_dir.exists()  # nor a socket in it
    stopped = daemon.reader.event("stopped")
    assert stopped.counts.captured == stopped.counts.verdicts + stopped.counts.drops
    assert stopped.counts.in_flight == 0
    assert daemon.reader.heartbeats[-1].state == "stopped"


@pytest.mark.timed
def test_a_second_signal_hurries_the_stop(start_daemon, stub_bank, mixed_folder):
    text = settings(stub_bank, camera_table("cam", mixed_folder), deadline_ms=60_000)
    daemon = start_daemon(text.replace("[[recipes]]", "drain_seconds = 50\n[[recipes]]", 1)).ready()
    os.kill(daemon.children()["scoring"], signal.SIGSTOP)  # so that there is something to wait for
    daemon.until(lambda: daemon.reader.heartbeats[-1].counts.in_flight > 2)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.until(lambda: daemon.reader.event("draining"))
    began = time.monotonic()
    assert daemon.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 3
    assert daemon.reader.verdicts[-1].reason == "shutdown"


def test_a_stop_while_scoring_still_loads_is_a_clean_one(start_daemon, stub_bank, good_folder):
    slow = Behaviour(load_seconds=60)
    daemon = start_daemon(settings(stub_bank, camera_table("cam", good_folder)), behaviour=slow)
    daemon.until(lambda: daemon.reader.heartbeats)
    assert daemon.reader.heartbeats[-1].state == "starting"
    assert daemon.stop() == 0
    assert not daemon.reader.verdicts
    assert daemon.reader.heartbeats[-1].state == "stopped"
    assert not daemon.runtime_dir.exists()
