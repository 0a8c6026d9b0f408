"""What ended as memory ran out is told so, whichever program started it."""

import asyncio
import itertools
import sys
import time

import pytest

from inspectd.memory_kills import NO_MEMORY, memory_kills
from inspectd.page.history.children import Children
from inspectd.teach.jobs import JobOrder, TeachJobs

KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("group", "counted"),
    [("0::/unit\n", 5), ("9:name=systemd:/\n0::/unit\n", 5), ("0::/other\n", 7), ("1:cpu:/\n", 7), (None, 7)],
)
def test_the_kernel_s_count_is_the_control_group_s_else_the_host_s(tmp_path, group, counted):
    own, groups, host = tmp_path / "own", tmp_path / "groups", tmp_path / "vmstat"
    (groups / "unit").mkdir(parents=True)
    (groups / "unit" / "memory.events").write_text("oom 9\noom_kill 5\noom_group_kill 1\n")
    host.write_text("nr_free_pages 1\noom_kill 7\n")
    if group is not None:
        own.write_text(group)
    assert memory_kills(own, groups, host) == counted
    host.unlink()
    assert memory_kills(own, groups, host) == (5 if counted == 5 else None)


@pytest.mark.parametrize(("step", "is_told"), [(1, True), (0, False)])
def test_a_program_of_the_page_says_it_last(tmp_path, monkeypatch, step, is_told):
    (tmp_path / "killed_at_once.py").write_text(KILLED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    counts = itertools.count(3, step)
    monkeypatch.setattr("inspectd.page.history.children.memory_kills", lambda: next(counts))
    found = asyncio.run(Children(1).run("killed_at_once", [], seconds=20))
    assert (found.code, found.error.endswith(NO_MEMORY)) == (-9, is_told)


@pytest.mark.parametrize(("step", "said"), [(1, NO_MEMORY), (0, "ended with -9")])
def test_a_job_of_teaching_says_it(tmp_path, monkeypatch, step, said):
    counts = itertools.count(3, step)
    monkeypatch.setattr("inspectd.teach.jobs.memory_kills", lambda: next(counts))
    jobs = TeachJobs(tmp_path, [sys.executable, "-c", KILLED], lambda: 0)
    jobs.begin(JobOrder("build", "kim", "engineer", "page", ""), "a build")
    until = time.monotonic() + 20
    while jobs.job.state == "running":
        assert time.monotonic() < until
        time.sleep(0.01)
    assert (jobs.job.state, jobs.job.detail) == ("failed", f"its process {said}; see the desk's log")
