"""What a real child process uses is found under its job."""

import os
import subprocess
import sys
import time

import pytest

from inspectd.bench.processes import Usage, shares, usage_by_job

BUSY = "import sys\nprint('up', flush=True)\nwhile True: pass"


def test_a_busy_scoring_child_uses_about_the_time_that_passes():
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, "inspectd.scoring.worker"], stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        try:
            before = usage_by_job(os.getpid())
            began = time.monotonic()
            while usage_by_job(os.getpid())["scoring"].cpu_seconds < before["scoring"].cpu_seconds + 0.2:
                assert time.monotonic() - began < 20
            after = usage_by_job(os.getpid())
        finally:
            child.kill()
    used = shares(before, after, time.monotonic() - began)
    assert 0 < used["scoring"] < 1.1
    assert set(used) >= {"main", "scoring"}
    assert 3 < after["scoring"].peak_rss_mb < 100


def test_processes_of_one_job_are_added_and_the_largest_memory_is_kept():
    assert Usage(1.0, 50.0) + Usage(2.5, 40.0) == Usage(3.5, 50.0)


def test_a_daemon_that_is_gone_is_said_to_be():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(ProcessLookupError, match=str(child.pid)):
        usage_by_job(child.pid)
