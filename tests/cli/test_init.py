"""`inspectd init`."""

from __future__ import annotations

import os
import subprocess
import sys

from inspectd.bank.file import read_bank
from inspectd.bank.reach import reach_of


def test_init_writes_a_file_once(inspectd, tmp_path):
    assert inspectd("init", tmp_path / "new").returncode == 0
    written = (tmp_path / "new" / "inspectd.toml").read_text()
    again = inspectd("init", tmp_path / "new")
    assert again.returncode == 2
    assert "already exists, not overwritten" in again.stderr
    assert (tmp_path / "new" / "inspectd.toml").read_text() == written
    in_file = inspectd("init", tmp_path / "new" / "inspectd.toml")
    assert (in_file.returncode, "is a file, expected a folder" in in_file.stderr) == (2, True)


def test_init_on_a_full_disk_leaves_nothing_that_the_next_one_stops_at(inspectd, tmp_path):
    command = [sys.executable, "-m", "inspectd", "init", str(tmp_path / "new")]
    full = subprocess.run(
        ["prlimit", "--fsize=1000", *command], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert (full.returncode, "inspectd.toml: cannot be written" in full.stderr) == (3, True), full.stderr
    assert list((tmp_path / "new").iterdir()) == []
    assert inspectd("init", tmp_path / "new").returncode == 0


def test_inits_example_of_a_threshold_is_no_trap(inspectd, tmp_path, bank_file, good_folder):
    """Taken as it stands, it is within the scale that banks have."""
    assert inspectd("init", tmp_path / "new").returncode == 0
    lines = (tmp_path / "new" / "inspectd.toml").read_text().splitlines()
    (shown,) = (line for line in lines if line.startswith("# threshold = "))
    reach = reach_of(read_bank(bank_file), float(shown.rpartition(" ")[2]))
    assert reach is not None
    assert reach.times < 2
