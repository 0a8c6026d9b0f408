"""`make contract`: hold every kind of camera to one contract, and show how it kept it.

So many parts come by each camera, on a real line whose scoring is a stub; half way it is unplugged for two
seconds. Every part has to be judged by its own frame, the counts have to close, nothing may pass while the
camera is away, and it has to be back in time. It runs in a network of its own with loopback alone, since
cameras are looked for by broadcasts. Exit code 1: a contract was broken; 3: this machine cannot run it.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Final

from faults import netns
from faults.gige_camera import lacks_gige
from faults.rtsp_camera import lacks_rtsp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from camera_contract.cases import CASES
from camera_contract.gentl import lacks_gentl
from camera_contract.plant import Case, ContractResult, run
from camera_contract.pylon import lacks_pylon

_CANNOT_RUN: Final = 3
_COLUMNS: Final = ("camera", "parts", "passed", "undecidable", "drops", "away", "back s", "held")


def main() -> int:
    """Run what was asked for; the exit code."""
    arguments = _arguments()
    why = netns.missing() or lacks_gige() or lacks_rtsp() or lacks_gentl() or lacks_pylon()
    if why is not None:
        print(f"cameras cannot be held to their contract here: {why}", file=sys.stderr)
        return _CANNOT_RUN
    if {name for _, name in socket.if_nameindex()} != {"lo"}:
        return _again_alone()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    chosen = [case for case in CASES if not arguments.only or any(o in case.name for o in arguments.only)]
    console = Console(stderr=True)
    results = [(case, _run(console, case, arguments.frames)) for case in chosen]
    print(_table(results))
    return 1 if any(result.violations for _, result in results) else 0


def _again_alone() -> int:
    """This program in a network namespace of its own, where nothing that it sends leaves the machine."""
    command = [sys.executable, "-m", "camera_contract", *sys.argv[1:]]
    return subprocess.run(["unshare", "--net", "--", *command], check=False).returncode


def _run(console: Console, case: Case, parts: int) -> ContractResult:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        tempfile.TemporaryDirectory(prefix="camera-contract-") as folder,
        Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar,
    ):
        task = bar.add_task(case.name, total=parts)
        try:
            result = run(case, Path(folder), parts, lambda: bar.advance(task))
        except AssertionError:  # of what the line runs with: it did not start, or a part never came
            result = ContractResult(parts, violations=[traceback.format_exc()])
    console.print(f"{case.name}: {'held' if not result.violations else 'BROKEN'}", highlight=False)
    for violation in result.violations:
        console.print(f"    ! {violation}", highlight=False, markup=False)
    return result


def _table(results: list[tuple[Case, ContractResult]]) -> str:
    rows = [_COLUMNS, ("---",) * len(_COLUMNS)]
    for case, found in results:
        more = "".join(f"; {name} {value:g}" for name, value in found.figures.items())
        undecidable = ", ".join(f"{count} {reason}" for reason, count in found.undecidable.items()) or "0"
        back = "-" if found.back_seconds is None else f"{found.back_seconds:.2f}"
        held = "no" if found.violations else "yes"
        counts = (str(found.parts), str(found.passed), undecidable, str(found.drops), str(found.away_parts))
        rows.append((case.name, *counts, back, f"{held}{more}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make contract", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1000, help="parts that come by each camera")
    parser.add_argument("--only", action="append", help="cases with this in their name; repeatable")
    arguments = parser.parse_args()
    if arguments.frames < 2:
        parser.error(f"--frames: got {arguments.frames}, expected 2 at least")
    if arguments.only and not all(any(o in case.name for case in CASES) for o in arguments.only):
        parser.error(f"--only: got {arguments.only}, expected a part of: {', '.join(c.name for c in CASES)}")
    return arguments


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
