import os
import signal
import subprocess
import sys
import time

WAITS = """
import sys, time
from inspectd.capture.running_watch import RunningWatch
watch = RunningWatch()
time.sleep(0.1)
for line in sys.stdin:
    watch.begin()
    print("begun", flush=True)
    time.sleep(0.1)
    print(watch.waited_ns(), flush=True)
    time.sleep(0.1)
"""


def test_time_it_slept_counts_and_time_it_was_stopped_does_not():
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def waited_ns(hold_up):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "begun\n"
            if hold_up:
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(0.15)
                os.kill(process.pid, signal.SIGCONT)
            return int(process.stdout.readline())

        # A busy machine holds it up now and then by itself.
        assert any(60e6 < waited_ns(hold_up=False) < 200e6 for _ in range(20))
        assert waited_ns(hold_up=True) == 0
        process.stdin.close()
