"""The frame of every child process: its command line, its channel, its sign of life, and why it ends."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

from inspectd import log
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.ipc.channel import Channel, ChannelClosedError, ChannelMessageError
from inspectd.ipc.messages import Alive, Failed
from inspectd.ipc.program import ProgramReplacedError, refuse_replaced
from inspectd.settled import settle
from inspectd.text import printable_lines

HEARTBEAT_SECONDS: Final = 0.1
"""Half of the 200 ms a child has to show that its loop turns."""

_PR_SET_PDEATHSIG: Final = 1
_CAP_SYS_NICE: Final = 23


Record = TypeVar("Record")


def argument_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that the main process gives each of its children; the child adds its own."""
    parser = argparse.ArgumentParser(prog=module, description=description)
    parser.add_argument("--channel", type=int, metavar="FD", help="descriptor of the main process's channel")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--log-format", default="text", choices=["text", "json"])
    parser.add_argument("--program", default="", metavar="STATE", help="of the main process's files")
    return parser


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the option by which children of one kind are told apart in the list of processes."""
    parser.add_argument("--name", default="", help="its name in events and metrics")


def run(
    parser: argparse.ArgumentParser,
    receives: Any,
    first: type[Record],
    live: Callable[[Channel[Any], Record], ExitCode],
    by_hand: Callable[[argparse.Namespace], ExitCode] | None = None,
) -> ExitCode:
    """Be a child process from its command line to its exit code.

    Neither SIGINT and SIGHUP, which a terminal sends to the whole process group, nor SIGTERM end a child: the
    main process closes the channel after the last answer. An error that is raised by `live` is sent to the
    main process, one before or by hand is printed.

    Args:
        parser: of `argument_parser`.
        receives: the union of records the main process may send.
        first: the record its channel begins with.
        live: the child's life, given its channel and first record.
        by_hand: what a person gets who runs the module with `--config FILE`; None: it cannot be run so.
    """
    arguments = parser.parse_args()
    if arguments.channel is None and (by_hand is None or arguments.config is None):
        parser.error(
            "--channel is needed: inspectd starts this process"
            if by_hand is None
            else "one of --channel and --config is needed"
        )
    log.setup(arguments.log_level, arguments.log_format)
    settle()
    try:
        if by_hand is not None and arguments.channel is None:
            return by_hand(arguments)
        die_with_parent()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        channel = open_channel(arguments.channel, receives)
    except InspectdError as error:
        log.last_words(f"error: {printable_lines(str(error))}")
        return error.exit_code

    def life() -> ExitCode:
        refuse_replaced(arguments.program)
        return live(channel, first_record(channel, first))

    return serve(channel, life)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends in any way, `kill -9` included.

    The kernel means the thread that started the process: the parent must start it from one that stays.

    Raises:
        InspectdError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise InspectdError(f"cannot tie this process to its parent: {os.strerror(ctypes.get_errno())}")


def is_tied(pid: int) -> bool:
    """Whether a child that lives in `run` is past `die_with_parent`, and ends with its parent.

    Told by SIGTERM, which it ignores from then on; False of a process that has ended.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    ignored = next((line for line in status.splitlines() if line.startswith("SigIgn:")), "SigIgn: 0")
    return bool(int(ignored.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def pin(cores: Collection[int]) -> None:
    """Keep this process, and every thread it starts, to these cores; none: to those it has."""
    if cores:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def hold_back(pid: int) -> None:
    """Leave a child that was just started what others leave of the processors, until it may take part.

    Not where the kernel would not let it take part again: without privileges that needs a limit of
    RLIMIT_NICE that allows the priority of this process.
    """
    own = os.getpriority(os.PRIO_PROCESS, 0)
    if _may_set_any_priority() or 20 - resource.getrlimit(resource.RLIMIT_NICE)[0] <= own:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


def _may_set_any_priority() -> bool:
    """Whether this process has CAP_SYS_NICE; in a container root need not have it."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_NICE & 1)


def stand_back() -> None:
    """Leave the processors to all others for good, and be the first to go where memory runs out.

    Call it before anything starts threads.
    """
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def end_behind(pid: int) -> None:
    """Leave a process that is to end, with every thread, what others leave of the processors."""
    with contextlib.suppress(FileNotFoundError):  # it has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


def take_part(pid: int) -> None:
    """Give a process that was held back, with every thread, as much of the processors as others.

    Raises:
        UnavailableError: the kernel does not allow it.
    """
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))
    except FileNotFoundError:
        return  # it has ended
    except PermissionError as error:
        raise UnavailableError(
            f"process {pid} may not have its priority back; expected LimitNICE=+0 in the unit, as "
            "systemd/inspectd@.service has it"
        ) from error


def open_channel(fd: int, receives: Any) -> Channel[Any]:
    """The channel that was inherited as descriptor `fd`, receiving the union `receives`.

    Raises:
        InputError: `fd` is no such descriptor.
    """
    try:
        end = socket.socket(fileno=fd)
    except OSError as error:
        raise InputError(
            f"--channel {fd}: {error.strerror}, expected a socket inherited from inspectd"
        ) from error
    if (end.family, end.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
        raise InputError(f"--channel {fd}: is another kind of socket, expected one inherited from inspectd")
    end.set_inheritable(False)
    return Channel(end, receives)


def first_record(channel: Channel[Any], kind: type[Record], timeout_seconds: float = 30.0) -> Record:
    """Wait for the record a channel begins with.

    Raises:
        ChannelClosedError: the main process is gone.
        ChannelMessageError: it sent another record, or none in time.
    """
    channel.wait(timeout_seconds)
    received = channel.receive()
    if received is None or not isinstance(received[0], kind):
        got = "nothing" if received is None else type(received[0]).__name__
        raise ChannelMessageError(f"got {got} as the first record, expected {kind.__name__}")
    return received[0]


class StopFlag:
    """Set by SIGTERM, so that a loop can end at its own pace."""

    def __init__(self) -> None:
        """Not set yet; `install` ties it to the signal."""
        self.is_set = False

    def install(self) -> None:
        """Handle SIGTERM."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self.is_set = True


class Heart:
    """Sends `Alive` when nothing else was sent for `HEARTBEAT_SECONDS`."""

    def __init__(self, channel: Channel[Any], clock: Callable[[], float] = time.monotonic) -> None:
        """Beat on `channel`; `clock` is in seconds and never runs backwards."""
        self._channel = channel
        self._clock = clock
        self._turns = 0
        self._due = clock()

    def now(self) -> float:
        """The time of the clock the heart beats by, in seconds."""
        return self._clock()

    def shown(self) -> None:
        """Something else was just sent: it counts as a beat, and spares the main process a wake-up."""
        self._due = self._clock() + HEARTBEAT_SECONDS

    def beat(self) -> None:
        """Count one turn of the loop, and send the count when it is time to.

        Raises:
            ChannelClosedError: the main process is gone.
        """
        self._turns += 1
        now = self._clock()
        if now >= self._due:
            self._due = now + HEARTBEAT_SECONDS
            self._channel.send_wait(Alive(self._turns))


def serve(channel: Channel[Any], life: Callable[[], ExitCode]) -> ExitCode:
    """Call `life` and return its exit code. An error is sent as `Failed`.

    A main process that is gone is a quiet end. An error that is not an `InspectdError` is raised again, so
    that its traceback reaches the log, but for one of descriptors or memory that ran out: it is the system's.
    """
    try:
        return life()
    except ChannelClosedError:
        return ExitCode.OK
    except InspectdError as error:
        is_replaced = isinstance(error, ProgramReplacedError)
        _send_failed(channel, str(error), error.exit_code, is_replaced=is_replaced)
        return error.exit_code
    except MemoryError as error:
        short = str(error) or "the system gives no more"
        detail = f"no memory: {short}; `free -m` shows what is left, `ulimit -v` what one process may have"
        _send_failed(channel, detail, ExitCode.UNAVAILABLE)
        return ExitCode.UNAVAILABLE
    except Exception as error:
        if getattr(error, "errno", None) in {errno.EMFILE, errno.ENFILE}:  # of the system, or of ZeroMQ
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            detail = f"too few files may be open: {most} in one process; raise LimitNOFILE= or ulimit -n"
            _send_failed(channel, detail, ExitCode.UNAVAILABLE)
            return ExitCode.UNAVAILABLE
        # Its text may hold anything, such as a URL with its password; the log has it.
        _send_failed(channel, f"{type(error).__name__}, see the log", ExitCode.FAILED)
        raise


def _send_failed(channel: Channel[Any], detail: str, code: ExitCode, *, is_replaced: bool = False) -> None:
    try:
        channel.send_wait(Failed(detail, int(code), is_replaced))
    except ChannelClosedError:
        return
