"""The desk: the rules of the commands over a socket, and one job at a time that is told honestly."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cells import cells
from support.desk import DeskProcess
from support.teaching import TaughtLine

from inspectd.errors import UnavailableError
from inspectd.recipes.audit import read
from inspectd.teach.desk import TeachDesk
from inspectd.teach.desk_client import ask_desk
from inspectd.teach.desk_messages import (
    AnswerAsked,
    BuildAsked,
    CancelAsked,
    DeskAnswer,
    DeskPerson,
    JobAsked,
    LookAsked,
    MarkAsked,
    PictureAsked,
    ReportAsked,
    decode_answer,
)
from inspectd.teach.desk_server import DeskServer
from inspectd.teach.jobs import JobOrder, TeachJobs
from inspectd.teach.refusals import TeachRefusedError
from inspectd.wire import Evaluation

GOOD = cells(defective=False)[40:]
SLOW = """
import sys, time
sys.stdin.readline()
print('words of a library', flush=True)
print('{"step":"features","done":3,"total":9}', flush=True)
time.sleep(60)
"""
WORKS = """
import sys
sys.stdin.readline()
print('{"step":"bank","done":1,"total":1}')
print('{"candidate":"abcdef"}')
"""
FAILS = """
import sys
sys.stdin.readline()
print('{"failed":"cells: no confirmed case is new"}')
sys.exit(2)
"""


def person(who: str, role: str, why: str = "") -> DeskPerson:
    return DeskPerson(who, role, "page 10.0.0.7", why)


EVA = person("eva", "engineer")
BUILD = BuildAsked(EVA, "cells", "top")


@pytest.fixture
def serve(line: TaughtLine) -> Iterator[Callable[..., Callable[[Any], DeskAnswer]]]:
    """Serves a desk whose jobs are a script; what asks it."""
    servers: list[tuple[DeskServer, TeachJobs]] = []

    def start(script: str = SLOW, users: set[int] | None = None) -> Callable[[Any], DeskAnswer]:
        line.place.root.mkdir(exist_ok=True)
        jobs = TeachJobs(line.place.root, [sys.executable, "-c", script], lambda: time.time_ns() // 1_000_000)
        path = line.root / f"desk{len(servers)}.sock"
        server = DeskServer(
            path, TeachDesk(line.place, jobs, "plant/line1"), {os.getuid()} if users is None else users
        )
        servers.append((server, jobs))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return lambda request: ask_desk(str(path), request, 20)[0]

    yield start
    for server, jobs in servers:
        server.shutdown()
        server.server_close()
        jobs.close()


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_the_desk_of_another_line_does_nothing(line: TaughtLine, serve) -> None:
    ask = serve()
    part = line.keep(GOOD[0], Evaluation.FAIL)
    meant = MarkAsked(person("olga", "operator"), part.name, "good", line="plant/line2")
    refused = ask(meant)
    assert (refused.what, "desk of line plant/line1, asked was that of plant/line2" in refused.detail) == (
        "other_line", True,
    )  # fmt: skip
    assert ask(LookAsked()).value["cases"] == []
    assert ask(LookAsked(line="plant/line1")).what == ""


def test_what_is_asked_is_done_by_the_rules_and_recorded_with_its_door(line: TaughtLine, serve) -> None:
    ask = serve()
    part = line.keep(GOOD[0], Evaluation.FAIL)
    marked = ask(MarkAsked(person("olga", "operator", "oil"), part.name, "good"))
    assert (marked.what, marked.value["id"]) == ("", "7-1")
    again = ask(MarkAsked(person("olga", "operator"), part.name, "good"))
    assert (again.what, again.value) == ("has_case", None)
    assert ask(AnswerAsked(person("otto", "operator"), "7-1", "confirm")).what == "refused"
    assert ask(AnswerAsked(person("Olga", "inspector"), "7-1", "confirm")).what == "same_person"
    assert ask(AnswerAsked(person("ivan", "inspector"), "7-1", "confirm")).value["state"] == "confirmed"
    (case,) = ask(LookAsked()).value["cases"]
    assert (case["state"], case["marked_by"], case["decided_by"]) == ("confirmed", "olga", "ivan")
    picture = ask_desk(str(line.root / "desk0.sock"), PictureAsked(case["picture"]))[1]
    assert picture == (part.folder / "frame.png").read_bytes()
    assert ask(PictureAsked("0" * 64)).what == "refused"
    assert ask(ReportAsked("0" * 64)).what == "no_report"
    first = next(read(line.place.audit))
    user = first.door.removeprefix("page 10.0.0.7 by ")
    assert (first.who, first.why, bool(user)) == ("olga", "oil", True)


def test_one_job_at_a_time_with_its_progress_and_its_end(line: TaughtLine, serve) -> None:
    ask = serve()
    assert ask(JobAsked()).value is None
    assert ask(BuildAsked(person("olga", "operator"), "cells", "top")).what == "refused"
    assert ask(CancelAsked(EVA, 1)).what == "no_job"
    assert ask(BUILD).value["state"] == "running"
    assert ask(BUILD).what == "job_busy"
    until(lambda: ask(JobAsked()).value["done"] == 3)
    assert ask(JobAsked()).value["step"] == "features"
    began_ms = ask(JobAsked()).value["began_ms"]
    assert ask(CancelAsked(EVA, began_ms - 1)).what == "other_job"  # the one that was seen ended meanwhile
    assert ask(CancelAsked(EVA, began_ms)).value["state"] == "cancelled"
    assert ask(BUILD).value["state"] == "running"
    # The power goes: the next desk says so.
    other = serve(WORKS)
    interrupted = other(JobAsked()).value
    assert (interrupted["state"], interrupted["who"]) == ("interrupted", "eva")
    assert other(BUILD).what == ""
    done = until(lambda: (job := other(JobAsked()).value)["state"] != "running" and job)
    assert (done["state"], done["candidate"]) == ("done", "abcdef")
    third = serve(FAILS)
    third(BUILD)
    failed = until(lambda: (job := third(JobAsked()).value)["state"] != "running" and job)
    assert (failed["state"], failed["detail"]) == ("failed", "cells: no confirmed case is new")


def test_a_job_is_gone_when_it_is_cancelled(tmp_path: Path) -> None:
    jobs = TeachJobs(tmp_path, [sys.executable, "-c", SLOW], lambda: 0)
    jobs.begin(JobOrder("build", "eva", "engineer", "page", ""), "cells, top")
    child = jobs._child
    assert child is not None
    jobs.cancel(0)
    assert child.poll() is not None


def test_a_job_that_no_thread_can_follow_is_over_and_the_next_one_begins(tmp_path: Path) -> None:
    jobs = TeachJobs(tmp_path, [sys.executable, "-c", SLOW], lambda: 0)
    order = JobOrder("build", "eva", "engineer", "page", "")
    before = threading.stack_size(2**47)  # more than a process has room for
    try:
        with pytest.raises(UnavailableError, match="cells, top: cannot be begun: can't start new thread"):
            jobs.begin(order, "cells, top")
    finally:
        threading.stack_size(before)
    assert (jobs.job.state, list((tmp_path / "job").iterdir())) == ("failed", [])
    with pytest.raises(TeachRefusedError, match="nothing is under way"):
        jobs.cancel(0)
    assert jobs.begin(order, "cells, top").state == "running"
    jobs.close()


def test_a_job_leaves_no_temporary_files_however_it_ends(tmp_path: Path) -> None:
    jobs = TeachJobs(
        tmp_path, [sys.executable, "-c", f"import tempfile; tempfile.mkdtemp(); {SLOW.strip()}"], lambda: 0
    )
    jobs.begin(JobOrder("build", "eva", "engineer", "page", ""), "cells, top")
    until(lambda: jobs.job.step)
    assert len(list((tmp_path / "job").glob("*/tmp*"))) == 1
    jobs.cancel(0)
    assert list((tmp_path / "job").iterdir()) == []
    (tmp_path / "job" / "of-a-desk-that-was-killed").mkdir(parents=True)
    TeachJobs(tmp_path, [], lambda: 0)
    assert not (tmp_path / "job").exists()


def test_a_second_desk_of_a_line_is_refused_and_leaves_the_first_ones_job_alone(tmp_path: Path) -> None:
    file = tmp_path / "line1.toml"
    file.write_text(
        f'[line]\nplant = "p"\nname = "l"\nstate_dir = "{tmp_path / "state"}"\n'
        '[[recipes]]\nname = "r"\nbank = "x.safetensors"\n'
        '[[cameras]]\nname = "top"\nkind = "images"\nfolder = "x"\nrecipe = "r"\n'
    )
    first = DeskProcess(file, tmp_path / "first")
    (under_way := tmp_path / "state" / "teach" / "job" / "tmp1").mkdir(parents=True)
    words = ["teach", "serve", "--config", str(file), "--runtime-dir", str(tmp_path / "second")]
    try:
        second = subprocess.run(
            [sys.executable, "-m", "inspectd", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        assert first.stop() == 0
    assert second.returncode == 3
    assert "another teaching desk serves this line; stop it first" in second.stderr
    assert under_way.exists()


def test_a_job_ends_though_its_end_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "teach"
    for script, state in ((SLOW, "cancelled"), ("import sys; sys.stdin.readline(); input()", "failed")):
        jobs = TeachJobs(folder, [sys.executable, "-c", script], lambda: 0)
        jobs.begin(JobOrder("build", "eva", "engineer", "page", ""), "cells, top")
        (child := jobs._child).poll()
        shutil.rmtree(folder)
        folder.write_text("in its way, as a full disk is")
        if state == "cancelled":
            jobs.cancel(0)
        else:
            child.kill()
        until(lambda jobs=jobs: jobs.job.state != "running")
        assert (jobs.job.state, child.wait()) == (state, -9)
        folder.unlink()
        assert jobs.begin(JobOrder("build", "eva", "engineer", "page", ""), "cells, top").state == "running"
        jobs.close()


def test_nobody_else_is_answered_and_nonsense_is_refused(line: TaughtLine, serve) -> None:
    assert serve(users={os.getuid() + 1})(LookAsked()).what == "refused"
    with socket.socket(socket.AF_UNIX) as silent:  # is told, and does not keep a thread
        silent.settimeout(5)
        silent.connect(str(line.root / "desk0.sock"))
        assert decode_answer(silent.makefile("rb").readline()).what == "refused"
        assert silent.recv(1) == b""
    serve()
    for words in (b"{}\n", b'{"do":"mark"}\n', b"\xff\n", b'{"do":"picture","sha256":"../../etc/passwd"}\n'):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(line.root / "desk1.sock"))
            connection.sendall(words)
            answer = decode_answer(connection.makefile("rb").readline())
        assert (answer.what, "cannot be read" in answer.detail) == ("refused", True)
    with pytest.raises(UnavailableError, match="is `inspectd teach serve` running"):
        ask_desk(str(line.root / "none.sock"), LookAsked())
