"""`inspectd audit` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inspectd import cli
from inspectd.recipes.audit import AuditAction, AuditEntry, AuditLog, append_record


@pytest.fixture
def path(folder: Path) -> Path:
    """An audit file of three records, an hour apart."""
    hours = iter(1_764_000_000_000_000_000 + hour * 3_600_000_000_000 for hour in range(3))
    with AuditLog(folder / "state" / "audit.jsonl", clock_ns=hours.__next__) as log:
        file = f"file@0 {'cd' * 32}"
        log.append(AuditAction.ACTIVATE, who="systemd", door="start", object="file", new=file)
        log.append(
            AuditAction.ACTIVATE, who="anna", door="local", object="cells", old=file,
            new=f"cells@1 {'ab' * 32}", why="w" * 300,
        )  # fmt: skip
        log.append(AuditAction.ROLLBACK, who="otto\x1b[31m", door="tcp", result="refused: damaged")
    return folder / "state" / "audit.jsonl"


def audit(folder: Path, *words: str) -> int:
    return cli.main(["audit", "--config", str(folder / "line.toml"), *words])


def test_records_are_shown_in_80_columns_and_verified(folder, path, capsys):
    assert audit(folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines[:-2])
    assert lines[:4] == [
        "    1  2025-11-24T16:00:00Z  activate by systemd (start): done",
        "       file: file@0 cdcdcdcdcdcd",
        "    2  2025-11-24T17:00:00Z  activate by anna (local): done",
        "       cells: file@0 cdcdcdcdcdcd -> cells@1 abababababab",
    ]
    assert lines[-2] == f"{path}: 3 records, none altered or missing"
    assert lines[-1].startswith("the last one's sha256: ")


def test_what_is_left_out_as_begun_is_counted_and_can_be_shown(folder, path, capsys):
    for result in ("begun", "done"):
        append_record(
            path, AuditEntry(AuditAction.KEY, "anna", "command", "gate1", None, "gate1 read"), result
        )
    assert audit(folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:5] for line in lines if line[:5].strip().isdigit()] == ["    1", "    2", "    3", "    5"]
    assert lines[-3] == "not shown: `begun` of 1 change whose end is shown (--all shows it too)"
    assert audit(folder, "--all") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("    4") for line in lines)
    assert not any("not shown" in line for line in lines)


def test_programs_get_the_records_as_they_are(folder, path, capsys):
    assert audit(folder, "--json", "--since", "2025-11-24T17:00:00Z") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records == [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert audit(folder, "--json", "--verify") == 0
    assert json.loads(capsys.readouterr().out)["last_sha256"] == records[-1]["sha256"]


@pytest.mark.parametrize("since", ["yesterday", "2026", "25:00", "2026-11-31"])
def test_a_time_that_is_none_is_refused_and_not_taken_for_another(folder, path, capsys, since):
    with pytest.raises(SystemExit, match="2"):
        audit(folder, "--since", since)
    expected = "expected a time such as 2026-11-26T06:00, or a time of day such as 06:00"
    assert f"argument --since: got {since!r}, {expected}" in capsys.readouterr().err


def test_the_first_wrong_line_is_named_and_those_before_it_are_shown(folder, path, capsys):
    path.write_text(path.read_text().replace("anna", "otto"))
    assert audit(folder) == 1
    done = capsys.readouterr()
    assert done.out.count("activate by") == 1
    assert done.err.startswith(f"error: {path}: line 2: expected a record of sha256 ")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
    assert audit(folder, "--verify") == 1
    done = capsys.readouterr()
    assert (done.out, done.err) == ("", f"error: {path}: line 1: expected seq 1, found seq 3\n")


def test_the_beginning_of_a_record_is_told_and_the_file_is_whole(folder, path, capsys):
    with path.open("ab") as file:
        file.write(path.read_bytes()[:120])
    assert audit(folder) == 0
    *_, summary, _, rest = capsys.readouterr().out.splitlines()
    assert summary.endswith("3 records, none altered or missing")
    assert rest.startswith("120 bytes of a record behind it: it is being written, or a crash left it")


@pytest.mark.parametrize(
    ("words", "seqs"),
    [
        (["--action", "rollback"], [3]),
        (["--action", "rollback", "--action", "activate", "--who", "ANNA"], [2]),
        (["--object", "cells@1"], [2]),
        (["--object", "file"], [1, 2]),
        (["--who", "nobody"], []),
    ],
)
def test_records_are_chosen_by_what_they_say(folder, path, capsys, words, seqs):
    assert audit(folder, "--json", *words) == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == seqs


def test_what_was_begun_and_did_not_end_is_shown(folder, path, capsys):
    entry = AuditEntry(AuditAction.IMPORT, "anna", "command", "cells", None, f"cells@2 {'ab' * 32}")
    append_record(path, entry, "begun")
    assert audit(folder) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "import by anna (command): begun, and nothing says how it ended: is it under way" in shown
    append_record(path, entry)
    audit(folder)
    out = capsys.readouterr().out
    assert "nothing says how it ended" not in out
    assert "5 records" in out


def test_a_line_without_records_says_so(folder, capsys):
    assert audit(folder) == 0
    assert capsys.readouterr().out == f"{folder}/state/audit.jsonl: holds no record yet\n"
    (folder / "state").mkdir()
    (folder / "state" / "audit.jsonl").mkdir()
    assert audit(folder) == 2
    assert "is not a regular file, expected one" in capsys.readouterr().err


def test_the_end_of_a_shadow_does_not_read_as_its_start(folder, path, capsys):
    shadow = f"cells@2 {'ab' * 32}"
    append_record(path, AuditEntry(AuditAction.SHADOW, "anna", "local", "cells", None, shadow))
    append_record(path, AuditEntry(AuditAction.SHADOW, "anna", "local", "cells", shadow, None))
    assert audit(folder, "--action", "shadow") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1] == "       cells: cells@2 abababababab"
    assert shown[3] == "       cells: cells@2 abababababab -> none"


def test_nothing_that_was_asked_for_is_said_and_actions_are_named_as_they_are_written(folder, path, capsys):
    assert audit(folder, "--who", "nobody") == 0
    assert capsys.readouterr().out.startswith("no record is of what was asked for\n")
    with pytest.raises(SystemExit):
        audit(folder, "--action", "activated")
    assert "(choose from 'activate', 'promote'," in capsys.readouterr().err
