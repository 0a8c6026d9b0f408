"""The supervisor with real child processes and a clock the test turns."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from support.disks import disk, frozen, needs_root
from support.memory_group import memory_group

from inspectd.capture.messages import Stop
from inspectd.errors import ExitCode
from inspectd.ipc.channel import ChannelMessageError, ContradictionError
from inspectd.ipc.messages import Alive
from inspectd.ipc.poller import Poller
from inspectd.memory_kills import NO_MEMORY, memory_kills
from inspectd.scoring.messages import FromScoring
from inspectd.supervisor import Supervisor

MS = 1_000_000


class Child:
    """A job whose process is tests/support/child.py, told by its argument how to behave."""

    name = "child"
    module = "support.child"
    receives = FromScoring
    start_timeout_ns = 60_000 * MS
    stall_timeout_ns = 1_000 * MS

    def __init__(self, behaviour: str) -> None:
        self.arguments = [behaviour]
        self.stuck = None
        self.launches = 0
        self.records: list[object] = []
        self.times_ns: list[int] = []
        self.losses: list[tuple[str, int | None]] = []
        self.channel = None

    def started(self, channel):
        self.launches += 1
        self.channel = channel

    def received(self, record, fds, now_ns):
        self.records.append(record)
        self.times_ns.append(now_ns)

    def lost(self, cause, exit_code, now_ns):
        self.losses.append((cause, exit_code))


class Harness:
    """A supervisor, its poller and a clock that only moves when told to."""

    def __init__(self, monkeypatch) -> None:
        monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__), prepend=os.pathsep)  # noqa: PTH120
        # So that a busy machine, on which a child's end takes a while, does not hide how it ended.
        monkeypatch.setattr("inspectd.supervisor._EXIT_SECONDS", 5.0)
        self.now_ns = 1_000_000 * MS
        self.replaced: list[tuple[str, str]] = []
        self.of_other_files: list[tuple[str, str]] = []
        self.poller = Poller()
        self.memory_kills: int | None = 3
        self.asks_kernel = False
        self.supervisor = Supervisor(
            self.poller, self, [], lambda: self.now_ns, memory_kills=self.count_kills
        )

    def count_kills(self):
        return memory_kills() if self.asks_kernel else self.memory_kills

    def on_process_lost(self, name, cause):
        self.replaced.append((name, cause))

    def on_program_replaced(self, name, cause):
        self.of_other_files.append((name, cause))

    def until(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            self.poller.wait(10 * MS)

    def after(self, milliseconds):
        """Let time pass in steps the supervisor takes for an ordinary loop."""
        for _ in range(int(milliseconds // 100)):
            self.now_ns += 100 * MS
            self.supervisor.tick(self.now_ns)


@pytest.fixture
def harness(monkeypatch):
    harness = Harness(monkeypatch)
    yield harness
    harness.supervisor.kill_all(0)


def start(harness, behaviour):
    job = Child(behaviour)
    harness.supervisor.start(job, harness.now_ns)
    return job


@needs_root
def test_of_children_that_the_kernel_holds_there_are_three_until_one_is_gone(harness, tmp_path):
    with disk(tmp_path / "disk") as folder:
        with frozen(folder):
            job = start(harness, f"write:{folder / 'file'}")
            for launches in range(1, 4):
                harness.until(lambda n=launches: len(job.records) == n and is_held(job.records[-1].progress))
                harness.after(1_200 + 800)  # it says nothing more, and then its back-off is over
            harness.after(30_000)
            assert (job.launches, len(job.losses)) == (3, 3)
        harness.until(lambda: all(has_ended(record.progress) for record in job.records))
        harness.after(20_000)
        assert job.launches > 3
        harness.supervisor.kill_all(0)


def is_held(pid: int) -> bool:
    """Whether it waits in the kernel, where no signal ends it; for a moment it does at any read of a disk."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(20):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "D":
            return False
        time.sleep(0.005)
    return True


def has_ended(pid: int) -> bool:
    """Whether nothing is left of it but what its parent has to be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_child_that_ends_is_replaced_after_a_back_off_that_doubles(harness):
    job = start(harness, "exit:7")
    waits = []
    for launches in range(1, 5):
        harness.until(lambda n=launches: len(job.losses) == n)
        waited = 0
        while job.launches == launches:
            harness.after(100)
            waited += 100
        waits.append(waited)
    assert waits == [100, 200, 400, 800]
    assert job.losses[0] == ("exited with code 7", 7)
    assert harness.replaced[0] == ("child", "exited with code 7")


@pytest.mark.skipif(os.getuid() != 0, reason="a control group takes root")
def test_a_child_that_the_kernel_kills_for_memory_is_told_from_one_that_somebody_killed(harness):
    harness.asks_kernel = True
    killed = start(harness, "answer")
    harness.until(lambda: killed.records)
    os.kill(killed.records[0].progress, signal.SIGKILL)
    harness.until(lambda: killed.losses)
    assert killed.losses == [("killed by SIGKILL", -signal.SIGKILL)]
    eater = start(harness, "eat")
    harness.until(lambda: eater.records)
    with memory_group(64 << 20) as members:
        members.write_text(str(eater.records[0].progress))
        eater.channel.send(Stop())
        harness.until(lambda: eater.losses)
    assert eater.losses == [(NO_MEMORY, -signal.SIGKILL)]


@pytest.mark.parametrize("once", [False, True])
def test_of_a_child_of_other_files_it_is_told_unless_nobody_needs_another(harness, once):
    job = Child("replaced")
    harness.supervisor.start(job, harness.now_ns, once=once)
    harness.until(lambda: job.losses)
    cause = "the program's files were replaced"
    assert job.losses == [(cause, 3)]
    assert harness.of_other_files == ([] if once else [("child", cause)])


def test_a_child_that_worked_for_a_while_between_its_ends_is_not_kept_away_for_longer_each_time(harness):
    job = start(harness, "answer")
    waits = []
    for launches in range(1, 7):
        harness.until(lambda n=2 * launches - 1: len(job.records) == n)
        harness.now_ns += (900 if launches < 4 else 1_000) * MS
        job.channel.send(Stop())
        harness.until(lambda n=launches: len(job.losses) == n)
        waited = 0
        while job.launches == launches:
            harness.after(100)
            waited += 100
        waits.append(waited)
    assert waits == [100, 200, 400, 100, 100, 100]


def test_what_a_child_says_of_its_end_is_the_cause(harness):
    job = start(harness, "fail")
    harness.until(lambda: job.losses)
    assert job.losses == [("the bank is gone", int(ExitCode.BAD_INPUT))]


def killed(harness, job):
    harness.until(lambda: job.records or job.losses)
    assert not job.losses
    os.kill(job.records[0].progress, signal.SIGKILL)
    harness.until(lambda: job.losses)
    return job.losses[0]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (3, 4, "killed by SIGKILL as memory ran out: "),
        (3, 3, "killed by SIGKILL"),
        (3, None, "killed by SIGKILL"),
        (None, 4, "killed by SIGKILL"),
    ],
)
def test_a_child_that_the_kernel_killed_as_memory_ran_out_is_told_so(harness, before, after, said):
    harness.memory_kills = before
    job = start(harness, "answer")
    harness.memory_kills = after
    cause, code = killed(harness, job)
    assert (cause.startswith(said), len(cause) > len(said)) == (True, said.endswith(" "))
    assert (code, harness.replaced) == (-signal.SIGKILL, [("child", cause)])


def test_each_of_the_kernel_s_kills_is_told_of_one_child(harness):
    job, other = start(harness, "answer"), Child("answer")
    other.name = "other"
    harness.supervisor.start(other, harness.now_ns)
    harness.memory_kills = 4
    assert "memory ran out" in killed(harness, job)[0]
    assert killed(harness, other)[0] == "killed by SIGKILL"  # by a person


def test_a_package_in_the_working_directory_is_not_run_in_place_of_the_childs(harness, monkeypatch, tmp_path):
    (tmp_path / "support").mkdir()
    (tmp_path / "support" / "__init__.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    job = start(harness, "exit:7")
    harness.until(lambda: job.losses)
    assert job.losses == [("exited with code 7", 7)]


def test_no_record_is_dated_before_it_was_sent(harness):
    job = Child("answer")
    is_asked = False

    def ask():
        """Have the child send a second record, and wait until it has."""
        nonlocal is_asked
        is_asked = True
        job.channel.send(Stop())
        os.waitid(os.P_PID, job.records[0].progress, os.WEXITED | os.WNOWAIT)

    def clock():
        now_ns = time.monotonic_ns()
        if job.records and not is_asked:
            ask()  # the process was held up between a look at the clock and what it does next
        return now_ns

    supervisor = Supervisor(harness.poller, harness, [], clock)
    supervisor.start(job, clock())
    harness.until(lambda: job.records)
    if not is_asked:
        ask()
    harness.until(lambda: len(job.records) == 2)
    assert job.times_ns[1] >= job.records[1].progress
    supervisor.kill_all(0)


def test_a_silent_child_is_killed_and_replaced(harness):
    job = start(harness, "beat-once")
    harness.until(lambda: job.records)
    assert isinstance(job.records[0], Alive)
    harness.after(1_000)
    assert not job.losses
    harness.after(100)
    assert "no progress for 1.1 s" in job.losses[0][0]


def test_a_main_process_that_was_stopped_itself_takes_no_child_for_silent(harness):
    job = start(harness, "beat-once")
    harness.until(lambda: job.records)
    harness.now_ns += 60_000 * MS
    harness.supervisor.tick(harness.now_ns)
    assert not job.losses


def test_a_child_that_sends_nonsense_or_descriptors_is_replaced(harness):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for behaviour, cause in (("nonsense", "not a record"), ("descriptor", "unexpected descriptors")):
        job = start(harness, behaviour)
        harness.until(lambda job=job: job.losses)
        assert cause in job.losses[0][0]
        harness.supervisor.stop("child")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_job_that_says_it_is_stuck_is_replaced(harness):
    job = start(harness, "beat-once")
    harness.until(lambda: job.records)
    job.stuck = "takes no messages"
    harness.after(100)
    assert job.losses == [("takes no messages", None)]


def test_a_child_that_is_to_finish_is_not_replaced(harness):
    job = start(harness, "until-told")
    harness.until(lambda: job.records)
    harness.supervisor.finish("child")
    job.channel.send(Stop())
    harness.until(lambda: job.losses)
    harness.after(20_000)
    assert job.launches == 1
    assert not harness.replaced


def test_a_restart_that_is_pending_is_called_off_by_finish(harness):
    job = start(harness, "exit:0")
    harness.until(lambda: job.losses)
    harness.supervisor.finish("child")
    harness.after(20_000)
    assert job.launches == 1


def test_kill_all_leaves_no_process_whatever_it_ignores(harness):
    job = start(harness, "ignore-signals")
    harness.until(lambda: job.records)
    pid = job.records[0].progress
    harness.supervisor.kill_all(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_a_child_that_was_let_go_and_does_not_end_is_killed(harness):
    job = start(harness, "ignore-signals")
    harness.until(lambda: job.records)
    pid = job.records[0].progress
    harness.supervisor.stop("child")
    harness.after(30_000)
    os.kill(pid, 0)  # it may still end by itself

    def is_gone() -> bool:
        harness.after(100)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    harness.until(is_gone)
    assert not job.losses


def test_a_record_that_contradicts_what_was_asked_costs_its_sender_and_no_other_fault_does(harness):
    job, raised = Child("beats"), [ContradictionError("other recipes")]

    def received(record, fds, now_ns):
        raise raised[0]

    job.received = received
    harness.supervisor.start(job, harness.now_ns)
    harness.until(lambda: job.losses)
    assert job.losses[0][0] == "other recipes"
    raised[0] = ChannelMessageError("a batch that another child's channel does not take")
    harness.after(1000)
    with pytest.raises(ChannelMessageError):
        harness.until(lambda: False)


def stands_still(job):
    return Path(f"/proc/{job.records[0].progress}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_child_stands_still_until_it_may_go_on_or_is_let_go(harness):
    job = start(harness, "tied")
    harness.until(lambda: job.records)
    harness.supervisor.stand_still("child", still=True)
    harness.until(lambda: stands_still(job))
    job.channel.send(Stop())
    harness.supervisor.stand_still("child", still=False)
    harness.until(lambda: job.losses)
    assert len(job.records) == 2  # its answer
    harness.after(100)
    harness.until(lambda: len(job.records) == 3)
    harness.supervisor.stand_still("child", still=True)
    pid = job.records[2].progress
    harness.supervisor.stop("child")
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_code == os.CLD_EXITED


def test_a_child_that_would_outlive_this_process_never_stands_still(harness):
    job = start(harness, "answer")
    harness.until(lambda: job.records)
    harness.supervisor.stand_still("child", still=True)
    job.channel.send(Stop())
    harness.until(lambda: len(job.records) == 2)


def test_time_that_a_child_stood_still_is_not_held_against_it(harness):
    job = start(harness, "tied")
    harness.until(lambda: job.records)
    harness.supervisor.stand_still("child", still=True)
    harness.until(lambda: stands_still(job))
    harness.after(5_000)  # its stall time-out is one second
    harness.supervisor.stand_still("child", still=False)
    harness.after(900)
    assert not job.losses
    harness.after(200)
    harness.until(lambda: job.losses)
    assert job.losses[0][0] == "no progress for 1.1 s"
