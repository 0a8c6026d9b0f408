"""The CSV example against a real daemon: killed at any moment, it ends with each verdict once."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from pathlib import Path

from support.daemon import camera_table, settings

TOOL = Path(__file__).parents[2] / "tools" / "csv_verdicts.py"


def rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_each_verdict_is_one_row_though_the_reader_is_killed(start_daemon, bank_file, good_folder, tmp_path):
    daemon = start_daemon(settings(bank_file, camera_table("cam", good_folder, fps=20))).ready()
    file = tmp_path / "verdicts.csv"
    command = [sys.executable, TOOL, f"ipc://{daemon.runtime_dir}/verdicts.sock", file]
    for kill in range(4):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        until = time.monotonic() + 20
        while len(rows(file)) < 8 * (kill + 1):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            daemon.reader.read(10)
        process.kill()
        process.communicate()
        if kill == 2:
            with file.open("ab") as target:
                target.write(b"1795470000000,9")  # it was in the middle of a row
    found = rows(file)
    assert [int(row["seq"]) for row in found] == list(range(1, len(found) + 1))
    assert {row["evaluation"] for row in found} <= {"pass", "fail"}
