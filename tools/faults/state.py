"""The state directory is full, or turns read-only, while parts are inspected."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from faults import audit
from faults.fault import Context, Outcome, percentiles
from faults.kill_daemon import check_record
from faults.listener import wait_for
from faults.rig import Rig

ALARM_SECONDS: Final = 10.0
_SIZE_MIB: Final = 16
_FAULT_SECONDS: Final = 2.0
_RECOVERY_SECONDS: Final = 15.0


def missing() -> str | None:
    """Reason why this machine cannot mount; None when it can."""
    return None if os.geteuid() == 0 else "a small file system takes root to mount"


def missing_loop() -> str | None:
    """Reason why this machine cannot have a disk that fails; None when it can."""
    if missing() is not None:
        return missing()
    if shutil.which("mkfs.ext4") is None:
        return "there is no mkfs.ext4: install e2fsprogs"
    return None if Path("/dev/loop-control").exists() else "this kernel or container has no loop devices"


def run_full(context: Context) -> Outcome:
    """Fill the small tmpfs under the journal, and free it again: the line has to notice both."""
    outcome = Outcome()
    state = context.folder / "state"
    state.mkdir(parents=True)
    with _mounted(state, "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m", "none"):
        alarms, recovered = [], []
        with Rig(context.folder, context.bank, context.random.randrange(10**6)) as rig:
            for _ in range(context.count):
                time.sleep(context.random.uniform(0.5, 1.5))
                began_ns = time.monotonic_ns()
                _fill(state / "filler")
                alarms.append(_alarm(rig, began_ns))
                time.sleep(_FAULT_SECONDS)
                freed_ns = time.monotonic_ns()
                (state / "filler").unlink()
                recovered.append(_recovery(rig, freed_ns))
                outcome.injected += 1
                context.advance()
            _check(outcome, rig)
    outcome.figures["alarm after"] = percentiles(alarms, "s", 2)
    outcome.figures["recording again after"] = percentiles(recovered, "s", 2)
    return outcome


def run_read_only(context: Context) -> Outcome:
    """Let the disk under the journal fail, as ext4 does it: read-only from one write to the next."""
    outcome = Outcome()
    alarms = []
    for number in range(context.count):
        folder = context.folder / str(number)
        state = folder / "state"
        state.mkdir(parents=True)
        image = folder / "disk"
        with image.open("wb") as file:
            file.truncate(_SIZE_MIB * 2**20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        with (
            _mounted(state, "-o", "loop,errors=remount-ro", str(image)),
            Rig(folder, context.bank, context.random.randrange(10**6)) as rig,
        ):
            time.sleep(context.random.uniform(0.5, 1.5))
            began_ns = time.monotonic_ns()
            _break(state)
            alarms.append(_alarm(rig, began_ns))
            time.sleep(_FAULT_SECONDS)
            _check(outcome, rig)
        outcome.injected += 1
        context.advance()
    outcome.figures["alarm after"] = percentiles(alarms, "s", 2)
    return outcome


def _check(outcome: Outcome, rig: Rig) -> None:
    """Verdicts went on, with the journal or without; what they claim of it is true."""
    evidence = rig.settle(outcome)
    check_record(outcome, evidence, rig.lost)
    first, last = (min(p.triggered_ns for p in evidence.parts.values()), time.monotonic_ns())
    outcome.demand(audit.unanswered(evidence, [(first, last)]))
    late = audit.lateness_ns(evidence)
    outcome.demand(audit.too_late(late))
    outcome.demand(audit.idle(evidence, least_opened=1))
    without = sum(1 for v in evidence.heard if not v.header["journaled"])
    outcome.totals["without"] += without
    outcome.figures["verdicts that said they were not in the journal"] = f"{outcome.totals['without']:,}"


def _alarm(rig: Rig, since_ns: int) -> float:
    """Seconds until the line raised an alarm.

    Raises:
        TimeoutError: it raised none in time.
    """
    alarm = wait_for(
        lambda: rig.line.listener.alarm(since_ns, "journal"),
        ALARM_SECONDS,
        "no alarm though the journal cannot be written",
    )
    return (alarm.at_ns - since_ns) / 1e9


def _recovery(rig: Rig, since_ns: int) -> float:
    """Seconds until heartbeats report again that the journal records.

    Raises:
        TimeoutError: they do not.
    """

    def is_recording() -> bool:
        heartbeat = rig.line.listener.last_heartbeat
        assert heartbeat is not None
        return heartbeat.at_ns > since_ns and heartbeat.header["journal"] == "recording"

    wait_for(is_recording, _RECOVERY_SECONDS, "the journal does not record again")
    return (time.monotonic_ns() - since_ns) / 1e9


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


def _break(state: Path) -> None:
    """Make ext4 treat its disk as failed."""
    device = subprocess.run(
        ["findmnt", "-no", "SOURCE", str(state)], check=True, capture_output=True, text=True
    ).stdout.strip()
    Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("1")


@contextlib.contextmanager
def _mounted(where: Path, *words: str) -> Iterator[None]:
    subprocess.run(["mount", *words, str(where)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True, capture_output=True)
