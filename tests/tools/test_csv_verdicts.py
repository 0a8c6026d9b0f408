"""The CSV example against a real daemon: killed at any moment, it ends with each verdict once."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from faults.belt import load_tool
from support.daemon import camera_table, settings
from support.messages import verdict

TOOL = Path(__file__).parents[2] / "tools" / "csv_verdicts.py"


def rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_each_verdict_is_one_row_though_the_reader_is_killed(start_daemon, stub_bank, small_good, tmp_path):
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=20))).ready()
    file = tmp_path / "verdicts.csv"
    command = [sys.executable, TOOL, f"ipc://{daemon.runtime_dir}/verdicts.sock", file]
    for kill in range(4):
        enough = len(rows(file)) + 8  # a row that broke off counts as one, until it is cut off
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        until = time.monotonic() + 20
        while len(rows(file)) < enough:
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


@pytest.fixture
def tool():
    return load_tool("csv_verdicts")


@pytest.mark.parametrize(
    ("part_id", "shown"),
    [
        ("P-1\nx", "P-1\\u000ax"),
        ("P-1\n9999999999999,1,", "P-1\\u000a9999999999999,1,"),
        ("=HYPERLINK(0)", "'=HYPERLINK(0)"),
        ("-1", "'-1"),
        ("P,1", "P,1"),
        ("\x1b[2J\udcff\u202e", "\\u001b[2J\\udcff\\u202e"),
        (None, ""),
    ],
)
def test_what_the_plant_names_stays_one_row_and_no_formula(tool, tmp_path, part_id, shown):
    file = tmp_path / "v.csv"
    made = msgspec.structs.replace(verdict(1), part_id=part_id, trigger_id="t")
    file.write_bytes(tool.encoded(tool.HEADINGS) + tool.encoded(tool.row(made)))
    assert file.read_bytes().count(b"\n") == 2
    assert [row["part_id"] for row in rows(file)] == [shown]


@pytest.mark.parametrize(
    "torn", [b"", b"5,9", b'5,9,c,"P-1\n', b"5,9,c,P,t,pass,within_threshold,1.0,False\n"]
)
def test_rows_of_an_earlier_version_are_read_back_with_their_line_breaks(tool, tmp_path, torn):
    file, cursor = tmp_path / "v.csv", tmp_path / "v.csv.cursor"
    cursor.write_text(json.dumps({"position": {"epoch": 5, "seq": 3}}))
    kept = (
        b"epoch,seq,camera,part_id,trigger_id,evaluation,reason,score,late\n"
        b'5,1,c,"P-1\nx",t1,pass,within_threshold,1.0,False\n'
        b'5,2,c,"P-1\n9999999999999,1,",t2,pass,within_threshold,1.0,False\n'
        b"5,3,c,P\r3,t3,pass,within_threshold,1.0,False\n"
    )
    file.write_bytes(kept + torn)
    tool.cut_uncommitted(file, cursor)
    assert file.read_bytes() == kept


def test_a_file_that_is_not_this_tools_is_left_alone(tool, tmp_path):
    file = tmp_path / "v.csv"
    file.write_text("a,b\nnot,ours\nnot,ours\n")
    with pytest.raises(SystemExit, match="not written by this tool"):
        tool.cut_uncommitted(file, tmp_path / "no.cursor")
    assert file.read_text() == "a,b\nnot,ours\nnot,ours\n"
