"""What the desk computes: one build or report at a time, in a process of its own behind everything else."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from inspectd import log
from inspectd.errors import InspectdError, UnavailableError
from inspectd.files import write_bytes
from inspectd.memory_kills import NO_MEMORY, is_memory_kill, memory_kills
from inspectd.teach.desk_messages import DeskJob
from inspectd.teach.refusals import TeachRefusedError
from inspectd.teach.roles import Person

FILE: Final = "job.json"
WORK: Final = "job"
"""Has a folder for the temporary files of each job: one that is cancelled is killed, and removes none."""
_END_SECONDS: Final = 10.0

_log: Final = logging.getLogger(__name__)


class JobOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the process is started with, as JSON on its standard input."""

    kind: Literal["build", "renew"]
    who: str
    role: str
    door: str
    why: str
    recipe: str = ""
    camera: str = ""
    candidate: str = ""

    @property
    def person(self) -> Person:
        """Who has it done."""
        return Person(self.who, self.role, self.door, self.why)


class JobNews(msgspec.Struct, frozen=True):
    """A line of its standard output: a step's progress, the candidate that came out, or why none did."""

    step: str = ""
    done: int = 0
    total: int = 0
    candidate: str = ""
    failed: str = ""


class TeachJobs:
    """Starts jobs, follows and ends them. How the last one went outlives the desk, in a file.

    Args:
        folder: of teaching.
        command: of the process.
        clock_ms: milliseconds since 1970, UTC.
    """

    def __init__(self, folder: Path, command: list[str], clock_ms: Callable[[], int]) -> None:
        """Look what was under way when the last desk ended; there is no other desk any more."""
        self._file, self._work, self._command, self._clock_ms = (
            folder / FILE,
            folder / WORK,
            command,
            clock_ms,
        )
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._follower: threading.Thread | None = None
        self._job = _read(self._file)
        shutil.rmtree(self._work, ignore_errors=True)  # what cannot be removed now is by the next desk
        if self._job is not None and self._job.state == "running":
            self._end("interrupted", "the teaching desk was stopped meanwhile; begin it again")

    @property
    def job(self) -> DeskJob | None:
        """What is under way, or was last; None: nothing was yet."""
        return self._job

    def begin(self, order: JobOrder, about: str) -> DeskJob:
        """Start a job.

        Raises:
            InputError: another one is under way.
            UnavailableError: it cannot be written that it began, or no thread can be had to follow it.
            InspectdError: the process cannot be started.
        """
        with self._lock:
            if self._job is not None and self._job.state == "running":
                raise TeachRefusedError(
                    "job_busy",
                    f"{self._job.about}: is under way since {self._job.who} began it, one at a time; "
                    "wait for it, or cancel it",
                )
            self._change(
                DeskJob(
                    kind=order.kind, about=about, who=order.who, state="running", began_ms=self._clock_ms()
                )
            )
            try:
                self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
                work = tempfile.mkdtemp(dir=self._work)
                before = memory_kills()
                self._child = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                    env={**os.environ, "TMPDIR": work},
                )  # fmt: skip
            except OSError as error:
                self._end("failed", f"its process cannot be started: {error.strerror or error}")
                raise InspectdError(f"{self._command[0]}: cannot be started: {error}") from error
            # It ends with the desk: it waits for the end of its standard input.
            follower = threading.Thread(
                target=self._follow, args=(self._child, order, work, before), name="job"
            )
            try:
                follower.start()
            except RuntimeError as error:
                _kill(self._child)
                self._child.communicate()
                shutil.rmtree(work, ignore_errors=True)
                self._end("failed", f"nothing can follow its process: {error}")
                raise UnavailableError(
                    f"{about}: cannot be begun: {error}; the desk's machine is at its limit of threads or "
                    "memory, try again later"
                ) from error
            self._follower = follower
            return self._current()

    def cancel(self, began_ms: int) -> None:
        """End what is under way, and wait until it is over.

        Args:
            began_ms: when that began: whoever cancels saw this job, and means no other.

        Raises:
            TeachRefusedError: nothing is, or something else.
        """
        with self._lock:
            if self._child is None or self._job is None or self._job.state != "running":
                raise TeachRefusedError("no_job", "nothing is under way, expected a build or a report")
            if self._job.began_ms != began_ms:
                raise TeachRefusedError(
                    "other_job",
                    f"{self._job.about}: is under way, which {self._job.who} began at "
                    f"{self._job.began_ms} ms, expected what began at {began_ms} ms; look again",
                )
            _kill(self._child)
            self._end("cancelled", "")
        self._join()

    def close(self) -> None:
        """End what is under way, as the desk ends."""
        with self._lock:
            if self._child is not None and self._job is not None and self._job.state == "running":
                _kill(self._child)
                self._end("interrupted", "the teaching desk was stopped meanwhile; begin it again")
        self._join()

    def _join(self) -> None:
        if self._follower is not None:
            self._follower.join(_END_SECONDS)

    def _follow(self, child: subprocess.Popen[bytes], order: JobOrder, work: str, before: int | None) -> None:
        """Read what the process says until it ends.

        Args:
            child: the process.
            order: what it is to do.
            work: has its temporary files.
            before: `memory_kills` before it was started.
        """
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended already: that is said below
            child.stdin.write(msgspec.json.encode(order) + b"\n")
            child.stdin.flush()
        last = JobNews()
        for line in child.stdout:
            try:
                last = msgspec.json.decode(line, type=JobNews)
            except msgspec.MsgspecError:
                continue  # a library's own words
            with self._lock:
                if last.step and self._current().state == "running":
                    self._job = msgspec.structs.replace(
                        self._current(), step=last.step, done=last.done, total=last.total,
                        candidate=last.candidate or self._current().candidate,
                    )  # fmt: skip
        code = child.wait()
        ended = NO_MEMORY if is_memory_kill(code, before, memory_kills()) else f"ended with {code}"
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
        shutil.rmtree(work, ignore_errors=True)
        with self._lock:
            if self._current().state != "running":
                return  # it was cancelled
            if code == 0 and last.candidate:
                self._job = msgspec.structs.replace(self._current(), candidate=last.candidate)
                self._end("done", "")
            else:
                self._end("failed", last.failed or f"its process {ended}; see the desk's log")

    def _current(self) -> DeskJob:
        assert self._job is not None
        return self._job

    def _end(self, state: Any, detail: str) -> None:
        self._job = msgspec.structs.replace(
            self._current(), state=state, detail=detail[:1000], ended_ms=self._clock_ms()
        )
        try:
            self._change(self._job)
        except UnavailableError as error:  # it is over all the same; the next desk calls it interrupted
            log.event(_log, logging.ERROR, "teach_job_not_recorded", state=state, detail=str(error))

    def _change(self, job: DeskJob) -> None:
        write_bytes(self._file, msgspec.json.encode(job), has_one_writer=True)
        self._job = job


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:  # its number may be another process's by now
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _read(path: Path) -> DeskJob | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=DeskJob)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):  # it says how the last job went, and nothing depends on it
        return None
