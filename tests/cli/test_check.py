from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemon import camera_table, settings


def inspectd(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inspectd", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_a_sound_line_is_tried_out_and_found_good(tmp_path, bank_file, good_folder):
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera_table("cam", good_folder)))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "no problems, 1 cameras, 1 recipes; banks load, cameras deliver, ports are free" in done.stdout


def test_eight_different_faults_are_eight_lines(tmp_path, bank_file, good_folder):
    other_weights = bank_file.read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(other_weights[: len(other_weights) // 2])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "line.toml"
        file.write_text(
            settings(
                bank_file,
                camera_table("cam", good_folder)
                + camera_table("cam", good_folder)  # 1 duplicate name
                + camera_table("gone", tmp_path / "nowhere"),  # 2 does not open
                metrics_port=port,  # 3 taken
                extra=f"""
                    [[recipes]]
                    name = "missing"
                    bank = "nowhere.safetensors"   # 4 missing bank
                    [[recipes]]
                    name = "damaged"
                    bank = "{damaged}"             # 5 unreadable bank
                    [batching]
                    max_batch = 0                  # 6 range
                    max_wiat_ms = 5                # 7 unknown key
                    [log]
                    level = 3                      # 8 type
                """,
            )
        )
        done = inspectd("check", file)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = [line.strip().split(":")[0] for line in done.stderr.splitlines()[1:]]
    assert sorted(lines) == sorted([
        "cameras[1].name", "cameras[2].folder", "metrics.port", "recipes[1].bank", "recipes[2].bank",
        "batching.max_batch", "batching.max_wiat_ms", "log.level",
    ])  # fmt: skip


@pytest.fixture
def no_faiss(tmp_path, monkeypatch):
    """As if faiss were installed and could not be loaded."""
    (tmp_path / "faiss.py").write_text("raise ImportError('no such symbol')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("no_faiss")
@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ('device = "cpu"\nsearch = "hnsw"', "scoring: search 'hnsw' needs the package faiss"),
        ('device = "cuda:99"', "scoring: "),
    ],
)
def test_settings_that_scoring_cannot_work_with_are_found(
    tmp_path, bank_file, good_folder, setting, complaint
):
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera_table("cam", good_folder), extra=f"[scoring]\n{setting}\n"))
    done = inspectd("check", file)
    assert done.returncode == 2
    assert f"1 problem\n  {complaint}" in done.stderr


def test_every_file_in_config_is_sound():
    files = list((Path(__file__).parents[2] / "config").glob("*.toml"))
    assert files
    for file in files:
        done = inspectd("check", "--settings-only", file)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["run", "/nowhere.toml"],
        ["check", "/nowhere.toml"],
        ["init", "/dev/null/x"],
        ["bank", "build", "--images", "/nowhere", "--out", "/tmp/x.safetensors"],
        ["watch", "nonsense"],
        ["demo", "--images", "/nowhere", "--out", "/dev/null/x"],
        ["nonsense"],
        [],
        ["run"],
        ["run", "/dev/null"],
        ["check", "/"],
    ],
)
def test_bad_input_is_never_a_traceback(words):
    done = inspectd(*words)
    assert done.returncode in {2, 3}, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_init_writes_a_file_once(tmp_path):
    assert inspectd("init", tmp_path / "new").returncode == 0
    written = (tmp_path / "new" / "inspectd.toml").read_text()
    again = inspectd("init", tmp_path / "new")
    assert again.returncode == 2
    assert "exists, and is not overwritten" in again.stderr
    assert (tmp_path / "new" / "inspectd.toml").read_text() == written


LIVE = """
[[recipes]]
name = "r"
bank = "b"
[[cameras]]
kind = "opencv"
name = "cam"
recipe = "r"
source = 0
"""


@pytest.mark.parametrize(
    ("camera", "more", "warned"),
    [
        (
            "mode = 'triggered'\nlatency_ms = 0",
            "",
            "cameras[0].latency_ms: is 0, which is true of no real camera",
        ),
        (
            "mode = 'triggered'\nlatency_ms = 80\nfps = 20",
            "",
            "triggers.window_ms: is 100, and the first frame of cam",
        ),
        ("mode = 'triggered'\nlatency_ms = 80\nfps = 20", "[triggers]\nwindow_ms = 130", None),
        ("mode = 'free'", "", None),
    ],
)
def test_latencies_with_which_parts_go_wrong_are_warned_of(tmp_path, camera, more, warned):
    file = tmp_path / "line.toml"
    file.write_text(f"{LIVE}{camera}\n{more}\n")
    done = inspectd("check", "--settings-only", file)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"warning: {warned}") if warned else not done.stderr


def test_a_live_triggered_camera_without_its_latency_is_refused_everywhere(tmp_path):
    file = tmp_path / "line.toml"
    file.write_text(f"{LIVE}mode = 'triggered'\n")
    for words in (("check", "--settings-only", file), ("run", file)):
        done = inspectd(*words)
        assert done.returncode == 2
        assert "cameras[0].latency_ms: is missing, expected the longest time from light" in done.stderr
        assert "`inspectd camera latency cam --config FILE` measures it" in done.stderr
