"""Readers are stopped, killed, and cut off; each is a program of its own beside a steady one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from faults import audit, line, netns, processes
from faults.fault import Context, Outcome, percentiles
from faults.kill_daemon import check_record
from faults.listener import wait_for
from faults.parts import write_pictures
from faults.reader import Record, read_record
from faults.rig import Rig

STOPPED_SECONDS: Final = 10.0
_MEMORY_BYTES: Final = 24 * 1024 * 1024
"""Most that a reader that does not read may cost: its queue of 10,000 messages of 1.5 KB, and some air."""

_GROWTH_ALLOWED: Final = 0.10
_CATCH_UP_SECONDS: Final = 30.0
_RARELY: Final = ("--commit-every", "100")
"""A reader whose latency is measured waits for no disk."""

_TAIL_BYTES: Final = 4096
_FREE_PICTURES: Final = 40
_FREE_FPS: Final = 60


class ReaderProgram:
    """`faults.reader` as a process, with its record and its cursor."""

    def __init__(self, folder: Path, endpoint: str, *more: str, wrapper: tuple[str, ...] = ()) -> None:
        folder.mkdir()
        self.record_file = folder / "record"
        self._log = folder / "log"
        module = [sys.executable, "-m", "faults.reader", endpoint]
        self._command = [*wrapper, *module, str(self.record_file), str(folder / "cursor"), *more]
        self.start()

    def start(self) -> None:
        """Launch it; it goes on from its cursor."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=processes.ENVIRONMENT, stdout=log, stderr=log)

    def record(self) -> Record:
        """The record that it wrote."""
        return read_record(self.record_file)

    def reaches(self, name: audit.Name, timeout_seconds: float = _CATCH_UP_SECONDS) -> None:
        """Wait until it was given the verdict of that name.

        Raises:
            TimeoutError: it was not.
        """
        wait_for(lambda: self.last() >= name, timeout_seconds, f"no reader reached {name}")

    def last(self) -> audit.Name:
        """The verdict it was given last; (0, 0) before the first."""
        if not self.record_file.exists():
            return 0, 0
        with self.record_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            words = [line.split() for line in file.read().splitlines()[1:]]
        given = [(int(word[1]), int(word[2])) for word in words if word[0] == b"given" and len(word) == 5]
        return given[-1] if given else (0, 0)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextlib.contextmanager
def busy_rig(context: Context, extra: str = "") -> Iterator[Rig]:
    """A rig with one more camera that runs free, so that there is much to read."""
    pictures = write_pictures(context.folder / "free", _FREE_PICTURES)
    free = line.camera("free", pictures, fps=_FREE_FPS)
    seed = context.random.randrange(10**6)
    with Rig(context.folder, context.bank, seed, more_cameras=free, extra=extra) as rig:
        yield rig


def run_stopped(context: Context) -> Outcome:
    """Stop a reader for 10 s at a time; neither the others nor the daemon's memory may show it."""
    outcome = Outcome()
    seconds = STOPPED_SECONDS if context.count > 1 else 1.0
    quiet: list[float] = []
    disturbed: list[float] = []
    with (
        busy_rig(context) as rig,
        ReaderProgram(context.folder / "struck", rig.line.endpoint("verdicts")) as struck,
        ReaderProgram(context.folder / "steady", rig.line.endpoint("verdicts"), *_RARELY) as steady,
    ):
        wait_for(lambda: min(struck.last(), steady.last()) > (0, 0), 20, "the readers hear nothing")
        time.sleep(1)
        memory = processes.rss_bytes(rig.line.pid)
        for _ in range(context.count):
            quiet_from = time.time_ns()
            time.sleep(seconds)
            stopped_from = time.time_ns()
            struck.process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            struck.process.send_signal(signal.SIGCONT)
            stopped_until = time.time_ns()
            record = steady.record()
            quiet += latencies_ms(record, quiet_from, stopped_from)
            disturbed += latencies_ms(record, stopped_from, stopped_until)
            outcome.injected += 1
            context.advance()
        growth = processes.rss_bytes(rig.line.pid) - memory
        finish(outcome, rig, {"struck": struck, "steady": steady})
    check_beside(outcome, quiet, disturbed, growth)
    return outcome


def run_killed(context: Context) -> Outcome:
    """Kill a reader at random moments; its cursor brings it back to where it was."""
    outcome = Outcome()
    with (
        busy_rig(context) as rig,
        ReaderProgram(context.folder / "struck", rig.line.endpoint("verdicts")) as struck,
    ):
        for _ in range(context.count):
            last = struck.last()
            wait_for(lambda last=last: struck.last() > last, 20, "the reader is given nothing")
            time.sleep(context.random.uniform(0, 0.5))
            struck.kill()
            struck.start()
            outcome.injected += 1
            context.advance()
        finish(outcome, rig, {"struck": struck})
    return outcome


def run_cut(context: Context) -> Outcome:
    """Cut the link of a remote reader, which comes through TCP and CURVE, for 1 to 60 s."""
    outcome = Outcome()
    cuts = cut_seconds(context)
    quiet: list[float] = []
    disturbed: list[float] = []
    with netns.link() as link:
        extra, arguments = link.settings_and_arguments(context.folder)
        remote = (context.folder / "struck", link.endpoint("verdicts"), *arguments)
        with (
            busy_rig(context, extra) as rig,
            ReaderProgram(context.folder / "steady", rig.line.endpoint("verdicts"), *_RARELY) as steady,
            ReaderProgram(*remote, wrapper=link.wrapper) as struck,
        ):
            wait_for(lambda: struck.last() > (0, 0), 20, "the remote reader hears nothing")
            memory = processes.rss_bytes(rig.line.pid)
            for seconds in cuts:
                quiet_from = time.time_ns()
                time.sleep(max(2.0, seconds / 2))
                cut_from = time.time_ns()
                link.cut()
                time.sleep(seconds)
                link.join()
                cut_until = time.time_ns()
                last = audit.name_of(rig.line.listener.numbered[-1].header)
                struck.reaches(last, _CATCH_UP_SECONDS + seconds)
                record = steady.record()
                quiet += latencies_ms(record, quiet_from, cut_from)
                disturbed += latencies_ms(record, cut_from, cut_until)
                outcome.injected += 1
                context.advance()
            growth = processes.rss_bytes(rig.line.pid) - memory
            finish(outcome, rig, {"struck": struck, "steady": steady})
    outcome.figures["cut for"] = ", ".join(f"{seconds:.0f}" for seconds in cuts) + " s"
    check_beside(outcome, quiet, disturbed, growth)
    return outcome


def cut_seconds(context: Context) -> list[float]:
    """One cut of a full minute in a long run, most others short."""
    shorter = [round(context.random.uniform(1, 4) ** 2, 1) for _ in range(context.count)]
    return [*shorter[:-1], 60.0] if context.count > 4 else [1.0 + number for number in range(context.count)]


def latencies_ms(record: Record, from_utc_ns: int, until_utc_ns: int) -> list[float]:
    """From decision to arrival of what was given to a reader within a span."""
    return [
        (at - decided) / 1e6
        for at, decided in zip(record.at_utc_ns, record.decided_utc_ns, strict=True)
        if from_utc_ns <= at < until_utc_ns
    ]


def check_beside(outcome: Outcome, quiet: list[float], disturbed: list[float], growth: int) -> None:
    """Check the effect of a reader in trouble on the others and on the daemon."""
    before, during = _p99(quiet), _p99(disturbed)
    outcome.figures["others before"] = percentiles(quiet, "ms", 2)
    outcome.figures["others meanwhile"] = percentiles(disturbed, "ms", 2)
    outcome.figures["daemon's memory grew"] = f"{growth / 2**20:.1f} MiB"
    if len(disturbed) >= 2000:
        outcome.require(
            during < before * (1 + _GROWTH_ALLOWED),
            f"the others' p99 grew from {before:.2f} to {during:.2f} ms",
        )
    outcome.require(growth < _MEMORY_BYTES, f"the daemon grew by {growth / 2**20:.1f} MiB")


def finish(outcome: Outcome, rig: Rig, programs: dict[str, ReaderProgram]) -> None:
    """Let every reader come to the end of what was published, and check what each was given."""
    evidence = rig.settle(outcome)
    check_record(outcome, evidence, rig.lost)
    outcome.demand(audit.idle(evidence, least_opened=1))
    everything = sorted(evidence.committed)
    rig.line.start()  # what a reader was not sent before the end, it can ask for
    for name, program in programs.items():
        program.reaches(everything[-1])
        record = program.record()
        outcome.demand(f"{name} reader: {problem}" for problem in audit.out_of_order(record.given))
        outcome.demand(f"{name} reader: given {twice} twice" for twice in record.repeated)
        outcome.demand(f"{name} reader: lost {lost}" for lost in record.lost)
        missing = audit.lost(everything, record.given)
        outcome.demand(f"{name} reader: {problem}" for problem in missing)
        outcome.figures[f"{name} reader"] = (
            f"{len(record.given)} verdicts, {record.unsure} again after a kill"
        )


def _p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0.0
