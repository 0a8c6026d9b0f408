"""The day on a GPU, in step with the product: its dry run on the CPU goes through every step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system


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
