import errno
import os
import re
import subprocess
import sys

import pytest
import zmq
from support.ordinary import run_without_rights

from inspectd.capture.messages import Stop
from inspectd.errors import ExitCode, InputError, UnavailableError
from inspectd.ipc import child
from inspectd.ipc.channel import Channel, ChannelClosedError, ChannelMessageError
from inspectd.ipc.messages import Alive, Failed


@pytest.fixture
def ends():
    """The channel of the child, and that of the main process."""
    mine, theirs = Channel.pair()
    pair = Channel(mine, Stop | Alive), Channel(theirs, Alive | Failed)
    yield pair
    for end in pair:
        end.close()


def received(channel):
    records = []
    while channel.wait(0) and (message := channel.receive()):
        records.append(message[0])
    return records


def test_whatever_else_was_sent_counts_as_a_beat(ends):
    time = [0.0]
    heart = child.Heart(ends[0], lambda: time[0])
    heart.beat()
    for _ in range(30):
        time[0] += 0.05
        heart.shown()
        heart.beat()
    time[0] += 0.11
    heart.beat()
    assert ends[1].receive()[0].progress == 1
    assert ends[1].receive()[0].progress == 32
    assert ends[1].receive() is None


def test_a_heart_beats_at_most_every_tenth_of_a_second_and_counts_every_turn(ends):
    time = [50.0]
    heart = child.Heart(ends[0], lambda: time[0])
    for _ in range(100):
        heart.beat()
        time[0] += 0.01
    beats = received(ends[1])
    assert 9 <= len(beats) <= 11
    assert beats[0] == Alive(1)
    assert beats[-1].progress > 80


def test_the_first_record_must_be_the_expected_one(ends):
    ends[1].send(Stop())
    assert child.first_record(ends[0], Stop) == Stop()
    ends[1].send(Alive(1))
    with pytest.raises(ChannelMessageError, match="got Alive as the first record, expected Stop"):
        child.first_record(ends[0], Stop)
    with pytest.raises(ChannelMessageError, match="got nothing"):
        child.first_record(ends[0], Stop, timeout_seconds=0)


def test_a_life_that_ends_well_says_nothing(ends):
    assert child.serve(ends[0], lambda: ExitCode.OK) is ExitCode.OK
    assert received(ends[1]) == []


def test_a_known_error_is_sent_with_its_exit_code(ends):
    def life():
        raise UnavailableError("the port is taken")

    assert child.serve(ends[0], life) is ExitCode.UNAVAILABLE
    assert received(ends[1]) == [Failed("the port is taken", 3)]


def test_a_bug_is_sent_and_raised_on(ends):
    def life():
        raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        child.serve(ends[0], life)
    assert received(ends[1]) == [Failed("ZeroDivisionError, see the log", 1)]


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), zmq.ZMQError(errno.ENFILE)])
def test_descriptors_that_ran_out_are_told_in_words(ends, error):
    def life():
        raise error

    assert child.serve(ends[0], life) is ExitCode.UNAVAILABLE
    (failed,) = received(ends[1])
    assert failed.exit_code == ExitCode.UNAVAILABLE
    assert re.match(r"too few files may be open: \d+ in one process; raise LimitNOFILE=", failed.detail)


def test_memory_that_ran_out_is_told_in_words(ends):
    assert child.serve(ends[0], lambda: bytearray(1 << 62)) is ExitCode.UNAVAILABLE
    (failed,) = received(ends[1])
    assert failed.exit_code == ExitCode.UNAVAILABLE
    assert failed.detail.startswith("no memory: the system gives no more; `free -m` shows")


def test_a_main_process_that_is_gone_is_a_quiet_end(ends):
    def life():
        raise ChannelClosedError("gone")

    assert child.serve(ends[0], life) is ExitCode.OK


def test_an_error_with_nobody_to_hear_it_still_has_its_exit_code(ends):
    ends[1].close()

    def life():
        raise UnavailableError("x")

    assert child.serve(ends[0], life) is ExitCode.UNAVAILABLE


def test_a_descriptor_that_is_no_channel_is_refused():
    read, write = os.pipe()
    with pytest.raises(InputError, match=f"--channel {read}"):
        child.open_channel(read, Stop)
    os.close(read)
    os.close(write)
    with pytest.raises(InputError, match=r"--channel 999: Bad file descriptor"):
        child.open_channel(999, Stop)


def run(*arguments, pass_fds=()):
    command = [sys.executable, "-m", "inspectd.evidence.worker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, pass_fds=pass_fds)


def test_an_error_before_the_channel_is_there_is_printed(tmp_path):
    assert "one of --channel and --config is needed" in run().stderr
    by_hand = run("--config", str(tmp_path / "none.toml"))
    assert (by_hand.returncode, by_hand.stderr.count("\n")) == (2, 2)
    assert by_hand.stderr.startswith("error: ")
    no_channel = run("--channel", "999")
    assert no_channel.returncode == 2
    assert no_channel.stderr.startswith("error: --channel 999: Bad file descriptor")


def test_a_wrong_first_record_is_an_error_that_is_sent():
    mine, theirs = Channel.pair()
    main = Channel(mine, Alive | Failed)
    main.send(Stop())
    assert run("--channel", str(theirs.fileno()), pass_fds=[theirs.fileno()]).returncode == 1
    theirs.close()
    assert isinstance(main.receive()[0], Failed)
    main.close()


def test_an_inherited_end_is_a_channel():
    mine, theirs = Channel.pair()
    main, opened = Channel(mine, Stop), child.open_channel(theirs.detach(), Stop)
    main.send(Stop())
    assert child.first_record(opened, Stop) == Stop()
    main.close()
    opened.close()


HELD_BACK = """
import os, subprocess
from inspectd.ipc.child import hold_back, take_part
sleeper = subprocess.Popen(["sleep", "60"])
hold_back(sleeper.pid)
held = os.sched_getscheduler(sleeper.pid) == os.SCHED_IDLE
take_part(sleeper.pid)
print(held, os.sched_getscheduler(sleeper.pid) == os.SCHED_OTHER)
sleeper.kill()
"""


def test_a_child_is_held_back_only_where_it_may_take_part_again():
    """Root in a container need not be allowed to, nor is an ordinary user without `LimitNICE`."""
    assert run_without_rights(HELD_BACK) == "False True\n"
    done = subprocess.run([sys.executable, "-c", HELD_BACK], capture_output=True, text=True, check=True)
    assert done.stdout in {"True True\n", "False True\n"}  # by the rights of whoever runs this
