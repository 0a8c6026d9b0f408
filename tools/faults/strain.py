"""Clients ask too much of the line: connections, messages, subscriptions; or its log is not read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final, Self

from faults import line, processes
from faults.fault import Context, Outcome
from faults.garbage import SOCKETS
from faults.netns import make_keys
from faults.parts import write_pictures
from faults.rig import BRISK, Rig
from faults.trial import UNDISTURBED_PARTS, Trial
from support.ports import free_ports

MAIN_MIB: Final = 256
_CONNECTIONS: Final = 5000
_ENDLESS_BYTES: Final = 2_000_000_000
_SUBSCRIPTIONS: Final = 100_000
_LEAST_OF_FULL: Final = 0.1
"""A short run strains the line by no less than this, or nothing is seen."""

_USUAL_FILES: Final = ("prlimit", "--nofile=1024:")
"""Limit of a service unless its unit sets another."""

_LAST_SECONDS: Final = 1.5
"""Parts that come when it is over."""

_UNREAD_SECONDS: Final = 20.0
_READ_SECONDS: Final = 3.0
_GO_SECONDS: Final = 2.0
_PIPE_BYTES: Final = 4096


def run_connections(context: Context) -> Outcome:
    """5,000 idle connections, to local sockets and to TCP ones, one half of the parts with keys."""
    server, _ = make_keys(context.folder)
    outcome = Outcome()
    with_keys = context.count // 2
    _crowd(
        context, outcome, "idle", _CONNECTIONS, parts=with_keys, extra=f'[security]\nkeys_dir = "{server}"\n'
    )
    _crowd(context, outcome, "idle-without-keys", _CONNECTIONS, parts=context.count - with_keys)
    return outcome


def run_endless(context: Context) -> Outcome:
    """Messages of millions of parts to each socket, and such as hardly end: 2 GB in all."""
    outcome = Outcome()
    _crowd(context, outcome, "endless", round(_ENDLESS_BYTES * _share(context)), parts=context.count)
    return outcome


def run_subscriptions(context: Context) -> Outcome:
    """100,000 different subscriptions of up to 1,000 bytes."""
    outcome = Outcome()
    amount = round(_SUBSCRIPTIONS * _share(context))
    _crowd(
        context, outcome, "subscribe", amount, parts=context.count, names=("verdicts", "heatmaps", "previews")
    )
    return outcome


def run_log_blocked(context: Context) -> Outcome:
    """Nobody reads the log for 20 s at a time, in which a camera comes and goes."""
    outcome = Outcome()
    pictures = write_pictures(context.folder / "free", 4)
    free = line.camera("free", pictures, fps=5)
    killed = 0
    with LogPipe() as log:
        rig = Rig(
            context.folder / "line",
            context.bank,
            context.random.randrange(10**6),
            more_cameras=free,
            pace=BRISK,
            limit=context.count,
            log=log.write_end,
        )
        with rig, Trial(context, outcome, rig, main_mib=MAIN_MIB) as trial:
            while trial.lasts:
                with log.unread():
                    end = time.monotonic() + _UNREAD_SECONDS
                    while trial.lasts and time.monotonic() < end:
                        killed += _kill(rig, "free")
                        trial.wait(_GO_SECONDS)
                trial.wait(_READ_SECONDS)
            with log.unread():  # the end too
                trial.finish()
    outcome.figures["log unread"] = f"{log.blocked} times, for 20 s at most; a camera was lost {killed} times"
    return outcome


class LogPipe:
    """Where a daemon's log goes: a pipe that is read, or full and not read."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.blocked = 0
        self._reads = threading.Event()
        self._reads.set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        os.close(self.write_end)
        self._thread.join()
        os.close(self._read_end)

    @contextlib.contextmanager
    def unread(self) -> Iterator[None]:
        """The pipe is full meanwhile."""
        self.blocked += 1
        self._reads.clear()
        # Opened anew: not to wait is a property of an opening, and the daemon has the other one.
        filler = os.open(f"/proc/self/fd/{self.write_end}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(filler, b"\n")
            yield
        finally:
            os.close(filler)
            self._reads.set()

    def _read(self) -> None:
        os.set_blocking(self._read_end, False)
        while not self._stop.is_set():
            self._reads.wait(0.1)
            try:
                while self._reads.is_set() and os.read(self._read_end, _PIPE_BYTES):
                    pass
            except BlockingIOError:
                time.sleep(0.01)


def _crowd(
    context: Context,
    outcome: Outcome,
    what: str,
    amount: int,
    *,
    parts: int,
    extra: str = "",
    names: tuple[str, ...] = SOCKETS,
) -> None:
    """A program of its own strains these sockets, local and TCP, while a line judges so many parts."""
    seed = context.random.randrange(10**6)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    publish = "[publish]\n" + "".join(f'{name}_tcp = "127.0.0.1:{port}"\n' for name, port in ports.items())
    rig = Rig(
        context.folder / f"line{seed}",
        context.bank,
        seed,
        extra=extra + publish,
        pace=BRISK,
        limit=parts,
        wrapper=_USUAL_FILES,
    )
    with rig, Trial(context, outcome, rig, main_mib=MAIN_MIB) as trial:
        targets = {name: [str(rig.line.runtime_dir / f"{name}.sock"), str(ports[name])] for name in names}
        seconds = max(1.0, (parts - UNDISTURBED_PARTS) * BRISK.pitch_seconds - _LAST_SECONDS)
        words = [what, *map(str, (seed, rig.line.pid, amount, seconds))]
        with _program(words, targets) as program:
            trial.finish()
            told = program.communicate()[0]
    outcome.figures[f"the crowd ({what}, {amount:,})"] = ", ".join(
        f"{name} {count:,}" for name, count in json.loads(told).items()
    )


@contextlib.contextmanager
def _program(words: list[str], targets: dict[str, list[str]]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "faults.crowd", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=processes.ENVIRONMENT,
    ) as program:
        try:
            assert program.stdin is not None
            lines = [f"{name} {address}\n" for name, pair in targets.items() for address in pair]
            program.stdin.write("".join(lines))
            program.stdin.close()
            program.stdin = None
            yield program
        finally:
            program.kill()


def _share(context: Context) -> float:
    """Share of the full strain for a run of so many parts."""
    return max(_LEAST_OF_FULL, min(1.0, context.count / 2000))


def _kill(rig: Rig, name: str) -> int:
    """Kill a child, if it is there; how many were."""
    pid = processes.children(rig.line.pid).get(name)
    if pid is None:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return 1
