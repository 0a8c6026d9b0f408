"""What every child process does alike: die with the main process, take its channel, say why it ends."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, TypeVar

from inspectd.errors import ExitCode, InputError, InspectdError
from inspectd.ipc.channel import Channel, ChannelClosedError, ChannelMessageError
from inspectd.ipc.messages import Failed, Heartbeat

HEARTBEAT_SECONDS: Final = 0.1
"""Half of the 200 ms a child has to show that its loop turns."""

_PR_SET_PDEATHSIG: Final = 1

Record = TypeVar("Record")
Received = TypeVar("Received")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options the main process gives each of its children."""
    parser.add_argument("--channel", type=int, metavar="FD", help="descriptor of the main process's channel")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--log-format", default="text", choices=["text", "json"])


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends in any way, `kill -9` included.

    The kernel means the thread that started the process: the parent must start it from one that stays.

    Raises:
        InspectdError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise InspectdError(f"cannot tie this process to its parent: {os.strerror(ctypes.get_errno())}")


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
    """Wait for the record every channel begins with.

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


def take_up(fd: int, receives: Any, first: type[Record]) -> tuple[Channel[Any], Record]:
    """Become a child that ends when its channel closes, for no signal: its channel, and what it began with.

    The main process decides when such a child ends: it closes the channel after the last answer.

    Args:
        fd: descriptor of the channel that was inherited.
        receives: the union of records to receive.
        first: the record the channel begins with.

    Raises:
        InspectdError: the kernel does not tie this process to its parent.
        InputError: `fd` is no such descriptor.
        ChannelClosedError: the main process is gone.
        ChannelMessageError: it sent another record, or none in time.
    """
    die_with_parent()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    channel = open_channel(fd, receives)
    return channel, first_record(channel, first)


class StopFlag:
    """Set by SIGTERM, so that a loop can end at its own pace; SIGINT is left to the main process."""

    def __init__(self) -> None:
        """Not set yet; `install` ties it to the signals."""
        self.is_set = False

    def install(self) -> None:
        """Handle SIGTERM and ignore SIGINT, which a terminal sends to the whole process group."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self.is_set = True


class Heart:
    """Tells the main process that this child's loop turns, when nothing told it for `HEARTBEAT_SECONDS`."""

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
        """Something else was just sent: it says as much as a beat, and spares the main process a wake-up."""
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
            self._channel.send_wait(Heartbeat(self._turns))


def serve(channel: Channel[Any], life: Callable[[], ExitCode]) -> ExitCode:
    """Live `life` and return its exit code; how it ends is said on the channel.

    A main process that is gone is a quiet end. Any other error is sent as `Failed`; one that is not ours is
    raised on, so that its traceback reaches the log.
    """
    try:
        return life()
    except ChannelClosedError:
        return ExitCode.OK
    except InspectdError as error:
        _say_failed(channel, str(error), error.exit_code)
        return error.exit_code
    except Exception as error:
        # Its text may hold anything, such as a URL with its password; the log has it.
        _say_failed(channel, f"{type(error).__name__}, see the log", ExitCode.FAILED)
        raise


def _say_failed(channel: Channel[Any], detail: str, code: ExitCode) -> None:
    try:
        channel.send_wait(Failed(detail, int(code)))
    except ChannelClosedError:
        return
