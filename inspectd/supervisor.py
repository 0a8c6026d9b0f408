"""Starts, watches and replaces child processes; the stages decide what they do."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from inspectd.errors import UnavailableError
from inspectd.ipc.channel import Channel, ChannelClosedError, ChannelMessageError, ContradictionError
from inspectd.ipc.child import end_behind, hold_back, is_tied, take_part
from inspectd.ipc.messages import Failed
from inspectd.ipc.poller import Poller
from inspectd.ipc.ring import RingError
from inspectd.log import event
from inspectd.memory_kills import NO_MEMORY, is_memory_kill, memory_kills

_log: Final = logging.getLogger("inspectd.supervisor")

_FIRST_BACKOFF_NS: Final = 100_000_000
_LONGEST_BACKOFF_NS: Final = 10_000_000_000
_HEALTHY_AFTER_NS: Final = 1_000_000_000
"""A child that worked this long starts again with the shortest back-off."""

_AWAY_NS: Final = 1_000_000_000
"""After this long without a tick the main process itself was stopped, and silence proves nothing."""

_EXIT_SECONDS: Final = 0.05
"""The main process waits this long for the exit code of a child whose channel closed."""

_KILL_SECONDS: Final = 1.0
_MOST_ENDING: Final = 3
"""Of one job: those that were killed and that a driver or a disk holds in the kernel keep their memory."""

_LET_GO_NS: Final = 30_000_000_000
"""A child that was let go ends by itself, after what it is loading; one that has not by then hangs."""

_MESSAGES_PER_TURN: Final = 64
"""Messages read from one child before the others get their turn."""


class Job(Protocol):
    """A stage's description of its child, and its callbacks."""

    name: str
    module: str
    arguments: Sequence[str]
    receives: Any
    start_timeout_ns: int
    stall_timeout_ns: int
    stuck: str | None
    """Reason to replace a child that still lives; None if there is none, and after `started`."""

    def started(self, channel: Channel[Any]) -> None:
        """The child was launched; send it its first record."""

    def received(self, record: Any, fds: list[int], now_ns: int) -> None:
        """The child sent a record with these descriptors, which the job now owns."""

    def lost(self, cause: str, exit_code: int | None, now_ns: int) -> None:
        """The child is gone and its unfinished work is lost; `exit_code` is None if there is none."""


class ProcessEvents(Protocol):
    """Takes reports of lost child processes."""

    def on_process_lost(self, name: str, cause: str) -> None:
        """The child `name` was lost and will be replaced."""

    def on_program_replaced(self, name: str, cause: str) -> None:
        """The child `name` was lost and cannot be replaced: the program's files are of another version."""


class Child:
    """One child process and its channel."""

    def __init__(
        self,
        job: Job,
        process: subprocess.Popen[bytes],
        channel: Channel[Any],
        now_ns: int,
        memory_kills: int | None = None,
    ) -> None:
        """A process just launched; `memory_kills`: the kernel's count of them before it was."""
        self.job = job
        self.process = process
        self.channel = channel
        self.progress_ns = now_ns
        self.up_ns: int | None = None
        """When it sent its first record."""
        self.is_finishing = False
        self.is_asked_to_end = False
        self.is_tied = False
        """Whether it is known to end with this process, however that ends."""
        self.still_since_ns: int | None = None
        self.failure: Failed | None = None
        self.memory_kills = memory_kills
        """Those of the kernel's count that were not its own end: more of them may be."""

    @property
    def worked_ns(self) -> int:
        """Time from its first record to its last."""
        return 0 if self.up_ns is None else self.progress_ns - self.up_ns

    def stalled_for_ns(self, now_ns: int) -> int | None:
        """Time without progress that is too long, without what it was made to stand still; else None."""
        limit_ns = self.job.start_timeout_ns if self.up_ns is None else self.job.stall_timeout_ns
        silent_ns = (now_ns if self.still_since_ns is None else self.still_since_ns) - self.progress_ns
        return silent_ns if silent_ns > limit_ns else None


class Supervisor:
    """Keeps one process running for each job.

    A child that ends unasked, or sends nothing for its time-out, is killed and replaced after a back-off that
    begins at 100 ms and doubles, until one has worked for a second. Killed children are reaped without
    waiting for them.
    """

    def __init__(
        self,
        poller: Poller,
        events: ProcessEvents,
        arguments: Sequence[str],
        clock: Callable[[], int],
        memory_kills: Callable[[], int | None] = memory_kills,
    ) -> None:
        """Watch over nothing yet.

        Args:
            poller: watches channels.
            events: takes reports of lost children.
            arguments: every child gets them.
            clock: monotonic, in nanoseconds.
            memory_kills: how many processes the kernel ended as memory ran out; None: it does not say.
        """
        self._poller = poller
        self._events = events
        self._clock = clock
        self._memory_kills = memory_kills
        self._last_tick_ns = clock()
        self._arguments = arguments
        self._children: dict[str, Child] = {}
        # The job of each, and until when it may end by itself.
        self._ending: dict[subprocess.Popen[bytes], tuple[str, int]] = {}
        self._restarts: dict[str, tuple[int, Job]] = {}
        self._backoff_ns: dict[str, int] = {}

    def start(self, job: Job, now_ns: int, *, once: bool = False) -> None:
        """Launch the job's process.

        Args:
            job: whose.
            now_ns: the time.
            once: it is not restarted, until `keep`, and comes after the others until it takes part.

        Raises:
            UnavailableError: the machine cannot start a process.
        """
        try:
            ours, theirs = Channel.pair()
            channel: Channel[Any] = Channel(ours, job.receives)
        except (OSError, MemoryError) as error:
            raise UnavailableError(f"cannot start {job.name}: {_why(error)}") from error
        # -P: else a package in the working directory, which children may write, would be run in its place.
        memory_kills = self._memory_kills()
        command = [sys.executable, "-P", "-m", job.module, "--channel", str(theirs.fileno())]
        try:
            process = subprocess.Popen(
                [*command, *self._arguments, *job.arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        except (OSError, MemoryError) as error:
            channel.close()
            raise UnavailableError(f"cannot start {job.name}: {_why(error)}") from error
        finally:
            theirs.close()
        child = Child(job, process, channel, now_ns, memory_kills)
        child.is_finishing = once
        if once:
            hold_back(process.pid)
        self._children[job.name] = child
        self._poller.add(child.channel, lambda: self._read(child))
        event(_log, logging.INFO, "process_started", process=job.name, pid=process.pid)
        try:
            job.started(child.channel)
        except ChannelClosedError as error:
            # It is dead already; the next read of its channel shows that.
            event(_log, logging.WARNING, "process_died_at_once", process=job.name, cause=str(error))

    def start_again(self, job: Job, now_ns: int) -> None:
        """Launch the job's process; where the machine cannot start one now, try again later."""
        ending = sum(name == job.name for name, _ in self._ending.values())
        cause = f"{ending} of it were killed and have not ended: the kernel holds them"
        if ending < _MOST_ENDING:
            try:
                self.start(job, now_ns)
            except UnavailableError as error:
                cause = str(error)
            else:
                return
        event(_log, logging.ERROR, "process_not_started", process=job.name, cause=cause)
        self._restarts[job.name] = (now_ns + _LONGEST_BACKOFF_NS, job)

    def tick(self, now_ns: int) -> None:
        """Replace children without progress, restart those whose back-off is over, reap the dead."""
        if now_ns - self._last_tick_ns > _AWAY_NS:
            for child in self._children.values():
                child.progress_ns = now_ns
        self._last_tick_ns = now_ns
        for child in list(self._children.values()):
            if child.job.stuck is not None:
                self._lose(child, child.job.stuck, now_ns)
            elif (silent_ns := child.stalled_for_ns(now_ns)) is not None:
                self._lose(child, f"no progress for {silent_ns / 1e9:.1f} s", now_ns)
        self._ending = {process: each for process, each in self._ending.items() if process.poll() is None}
        for name, (due_ns, job) in list(self._restarts.items()):
            if now_ns >= due_ns:
                del self._restarts[name]
                self.start_again(job, now_ns)
        for process, (_, until_ns) in self._ending.items():
            if now_ns > until_ns:
                process.kill()  # it would keep its memory, and a card's, until the line ends

    def finish(self, name: str) -> None:
        """Expect a child to end by itself: it is still read, but not restarted."""
        self._restarts.pop(name, None)
        if name in self._children:
            self._children[name].is_finishing = True
            self._children[name].is_asked_to_end = True

    def hurry(self, name: str) -> None:
        """Have a child that was started once come after the others no longer.

        Raises:
            UnavailableError: the kernel does not allow it.
        """
        if name in self._children:
            take_part(self._children[name].process.pid)

    def stand_still(self, name: str, *, still: bool) -> None:
        """Have a child stand still, or go on; the time is not held against it.

        One that is not tied to this process yet goes on: it would stand still for ever if this process were
        killed.
        """
        child = self._children.get(name)
        if child is None or (child.still_since_ns is not None) == still:
            return
        if child.still_since_ns is not None:
            child.progress_ns += self._clock() - child.still_since_ns
            child.still_since_ns = None
            child.process.send_signal(signal.SIGCONT)
        elif child.is_tied or is_tied(child.process.pid):
            child.is_tied = True
            child.still_since_ns = self._clock()
            child.process.send_signal(signal.SIGSTOP)

    def keep(self, name: str) -> None:
        """Restart a child from now on that was started once."""
        if name in self._children:
            self._children[name].is_finishing = False

    def stop(self, name: str, *, behind: bool = False) -> None:
        """Let a child go at once: no restart, no loss. It ends by itself, or is killed some time later.

        Args:
            name: the child's job.
            behind: it gives its memory back when others leave it time.
        """
        self._restarts.pop(name, None)
        self.stand_still(name, still=False)  # else it could not end by itself
        child = self._children.pop(name, None)
        if child is not None:
            self._poller.remove(child.channel)
            if behind:
                end_behind(child.process.pid)
            child.channel.close()
            self._ending[child.process] = name, self._clock() + _LET_GO_NS

    def running(self, name: str) -> bool:
        """True while the job's process runs and was not let go."""
        return name in self._children

    def kill_all(self, grace_seconds: float) -> None:
        """Let every child go, wait `grace_seconds` in all, then kill what is left and reap it."""
        for name in [*self._children, *self._restarts]:
            self.stop(name)
        end_ns = self._clock() + int(grace_seconds * 1e9)
        for process in self._ending:
            if not _ended(process, (end_ns - self._clock()) / 1e9):
                process.kill()
        for process in self._ending:
            if not _ended(process, _KILL_SECONDS):
                # A driver holds it in the kernel; nothing can be done about it, and the stop goes on.
                event(_log, logging.ERROR, "process_not_reaped", pid=process.pid)
        self._ending.clear()

    def _read(self, child: Child) -> None:
        """Read a child's messages."""
        for _ in range(_MESSAGES_PER_TURN):
            try:
                received = child.channel.receive()
            except ChannelClosedError:
                self._lose(child, None, self._clock())
                return
            except ChannelMessageError as error:
                self._lose(child, str(error), self._clock())
                return
            if received is None:
                return
            # After it was read: a time before may lie on the other side of a deadline than the record.
            self._take(child, *received, self._clock())
            if child.job.name not in self._children:
                return

    def _take(self, child: Child, record: Any, fds: list[int], now_ns: int) -> None:
        child.progress_ns = now_ns
        child.up_ns = now_ns if child.up_ns is None else child.up_ns
        if isinstance(record, Failed):
            child.failure = record
        else:
            try:
                child.job.received(record, fds, now_ns)
            except (RingError, ContradictionError) as error:
                self._lose(child, str(error), now_ns)

    def _lose(self, child: Child, cause: str | None, now_ns: int) -> None:
        """End a child that is gone or useless, pass that to its job, restart it after its back-off.

        Args:
            child: the child.
            cause: why it has to go; None when its channel closed, and its exit gives the cause.
            now_ns: the time.
        """
        job = child.job
        # Of one that was asked to end nobody needs the code, and the line would stand still for it.
        is_at_its_end = cause is None and child.is_asked_to_end
        exit_code = self._exit_code(child) if cause is None and not is_at_its_end else None
        if cause is None and self._is_memory_kill(child, exit_code):
            cause = NO_MEMORY
        cause = cause or _exit_cause(child, exit_code)
        self.stop(job.name)
        if not is_at_its_end:  # it writes its last lines
            child.process.kill()
        if child.is_finishing:
            event(_log, logging.INFO, "process_finished", process=job.name, cause=cause)
            job.lost(cause, exit_code, now_ns)
            return
        healthy = child.worked_ns >= _HEALTHY_AFTER_NS
        backoff_ns = _FIRST_BACKOFF_NS if healthy else self._backoff_ns.get(job.name, _FIRST_BACKOFF_NS)
        self._backoff_ns[job.name] = min(2 * backoff_ns, _LONGEST_BACKOFF_NS)
        self._restarts[job.name] = (now_ns + backoff_ns, job)
        event(
            _log, logging.WARNING, "process_lost", process=job.name, pid=child.process.pid, cause=cause,
            restart_in_ms=backoff_ns / 1e6,
        )  # fmt: skip
        job.lost(cause, exit_code, now_ns)
        self._events.on_process_lost(job.name, cause)
        if child.failure is not None and child.failure.is_replaced:
            self._events.on_program_replaced(job.name, cause)

    def _is_memory_kill(self, child: Child, exit_code: int | None) -> bool:
        """Whether the kernel ended it as memory ran out; each of its kills ended one child."""
        kills = self._memory_kills()
        if not is_memory_kill(exit_code, child.memory_kills, kills):
            return False
        for other in self._children.values():
            if other.memory_kills is not None and kills is not None:
                other.memory_kills = min(other.memory_kills + 1, kills)
        return True

    @staticmethod
    def _exit_code(child: Child) -> int | None:
        if child.failure is not None:
            return child.failure.exit_code
        return child.process.returncode if _ended(child.process, _EXIT_SECONDS) else None


def _why(error: OSError | MemoryError) -> str:
    return "no memory" if isinstance(error, MemoryError) else str(error.strerror)


def _ended(process: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
    """Wait up to `timeout_seconds` for a process; True once it is reaped."""
    try:
        process.wait(max(0.0, timeout_seconds))
    except subprocess.TimeoutExpired:
        return False
    return True


def _exit_cause(child: Child, exit_code: int | None) -> str:
    """Cause of the end of a child whose channel closed."""
    if child.failure is not None:
        return child.failure.detail
    if exit_code is None:
        return "closed its channel"
    return (
        f"killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exited with code {exit_code}"
    )
