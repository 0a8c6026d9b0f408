"""The day on a GPU, in step with the product: its dry run on the CPU goes through every step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANGS = """
import subprocess, sys, time

def hangs():
    # As a daemon it has a process group of its own.
    daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
    with open("daemon", "w") as file:
        file.write(str(daemon.pid))
    time.sleep(60)

def dies():
    sys.exit(7)

def works():
    print("worked", flush=True)
"""
CALL = """
import steps
steps._ON_THE_CARD.update({"hangs": ("made", 0, 3), "dies": ("made", 0, 5), "works": ("made", 0, 5)})
for word in ("hangs", "dies", "works"):
    steps.run(word)
"""


def test_a_step_that_hangs_or_dies_is_told_with_all_it_started_ended_and_costs_no_other(
    tmp_path: Path,
) -> None:
    (tmp_path / "made.py").write_text(HANGS)
    path = f"{ROOT / 'tools' / 'gpu'}:{tmp_path}:{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        env={**os.environ, "OUT": str(tmp_path), "PYTHONPATH": path, "GPU_DAY_PART": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (tmp_path / "part1.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["what"], line["error"].partition(";")[0]) for line in told] == [
        ("failed", "hangs", "TimeoutError: ended after 3 s"),
        ("failed", "dies", "exit 7, see the log"),
    ]
    assert "worked" in done.stdout
    daemon = Path("/proc") / (tmp_path / "daemon").read_text() / "stat"
    assert not daemon.exists() or daemon.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.system
def test_its_dry_run_finds_every_name_it_uses(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "tools" / "gpu_day.sh"), "dry"],
        env={
            **os.environ,
            "OUT": str(tmp_path / "out"),
            "GPU_DAY_WORK": str(tmp_path),
            "PYTHON": sys.executable,
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "partdry.jsonl").read_text().splitlines()]
    assert [line for line in lines if line["kind"] == "failed"] == []
    assert {line["kind"] for line in lines} >= {"machine", "ceiling", "tests", "bench", "inside"}
    assert "images/s" in done.stdout
