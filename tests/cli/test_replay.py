"""`inspectd replay` on a real line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.daemon import camera_table, settings

from inspectd import wire


def replay(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inspectd", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_prints_what_was_published_and_says_what_is_not_kept(
    start_daemon, stub_bank, small_good, monkeypatch
):
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=50))).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 20)
    endpoint = f"ipc://{daemon.runtime_dir}/sync.sock"
    epoch = daemon.reader.verdicts[0].epoch

    printed = replay(endpoint, "--json", "--to", f"{epoch}:20")
    assert printed.returncode == 0, printed.stderr
    lines = printed.stdout.splitlines()
    assert [wire.decode(line.encode()) for line in lines] == daemon.reader.verdicts[:20]
    assert json.loads(lines[0])["schema"] == "verdict/1"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_dir))
    again = replay(daemon.file, "--json", "--to", f"{epoch}:20")
    assert again.stdout == printed.stdout, again.stderr

    part = replay(endpoint, "--from", f"{epoch}:5", "--to", f"{epoch}:7")
    first = daemon.reader.verdicts[4]
    assert part.stdout.splitlines()[0] == f"{epoch}:5 cam {first.evaluation} {first.reason} {first.score:.3f}"
    assert len(part.stdout.splitlines()) == 3

    gone = replay(endpoint, "--from", "17:1", "--to", f"{epoch}:1")
    assert gone.returncode == 1
    assert gone.stderr == f"truncated: what is kept begins at {epoch}:1\n"
    assert len(gone.stdout.splitlines()) == 1


def test_bad_input_is_said_without_a_traceback(tmp_path: Path):
    for arguments, code, said in (
        (["ipc:///nowhere/sync.sock", "--timeout", "0.2"], 3, "no answer within 0.2 s"),
        (["sync.sock"], 2, "expected ipc:///path"),
        (["ipc:///nowhere/sync.sock", "--timeout", "nan"], 2, "--timeout: got nan, expected seconds above 0"),
        (["ipc:///x/sync.sock", "--from", "17"], 2, "expected EPOCH:SEQ"),
        (["tcp://127.0.0.1:1", "--server-key", tmp_path / "no.key"], 2, "both keys"),
        (
            ["tcp://127.0.0.1:1", "--server-key", tmp_path / "no.key", "--client-key", tmp_path / "no.key"],
            2,
            "`inspectd keys new` makes keys",
        ),
    ):
        ended = replay(*arguments)
        assert ended.returncode == code, ended.stderr
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr
