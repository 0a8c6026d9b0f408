"""Measures what the daemon's own processes cost: the time of a core for each verdict, process by process.

Without a bank the stub scores, at once, so that nothing is in the way of the line's own work.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from inspectd.cli.daemon_process import DaemonProcess
from inspectd.client import LiveReader
from inspectd.wire import Heartbeat

STUB: Final = Path(__file__).parents[1] / "tests" / "support" / "stub_daemon.py"
START_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 2.0

CAMERA: Final = """
[[cameras]]
kind = "images"
name = "cam{n}"
recipe = "r"
folder = {folder}
fps = {fps}
phase = {phase}
slots = 256
loop = true
preload = true
"""


def settings(arguments: argparse.Namespace, folder: Path) -> str:
    bank = str(arguments.bank.resolve()) if arguments.bank else "stub.bank"
    images = json.dumps(str(arguments.images.resolve()))
    cameras = "".join(
        CAMERA.format(n=n, folder=images, fps=arguments.fps / arguments.cameras, phase=n / arguments.cameras)
        for n in range(arguments.cameras)
    )
    return f"""\
[line]
deadline_ms = 1000
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"
[[recipes]]
name = "r"
bank = {json.dumps(bank)}
any_size = true
threshold = 1e9
accept_threshold = true
{cameras}
[batching]
max_batch = {arguments.batch}
max_queue = 4000
[evidence]
enabled = false
[metrics]
port = 0
"""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processes(main: int) -> dict[str, list[int]]:
    """The line's processes, by what they do: the word after `inspectd.` in their command."""
    found: dict[str, list[int]] = {"main": [main]}
    for child in Path(f"/proc/{main}/task/{main}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        name = next(word for word in words if word.startswith("inspectd.")).removeprefix("inspectd.")
        found.setdefault(name.removesuffix(".worker"), []).append(int(child))
    return found


def heartbeat(reader: LiveReader) -> Heartbeat:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        message = reader.receive(1.0)
        if isinstance(message, Heartbeat):
            return message
    raise SystemExit("the line sends no heartbeats")


def measure(main: int, reader: LiveReader, seconds: float) -> dict[str, object]:
    while heartbeat(reader).counts.verdicts < 50:
        pass
    time.sleep(SETTLE_SECONDS)
    pids = processes(main)
    while reader.receive(0):
        pass
    first, began = heartbeat(reader), time.monotonic()
    cpu = {name: sum(map(cpu_seconds, found)) for name, found in pids.items()}
    last = first
    while time.monotonic() - began < seconds:
        last = heartbeat(reader)
    elapsed = time.monotonic() - began
    verdicts = last.counts.verdicts - first.counts.verdicts
    used = {name: sum(map(cpu_seconds, found)) - cpu[name] for name, found in pids.items()}
    return {
        "verdicts_per_second": round(verdicts / elapsed, 1),
        "dropped": last.counts.drops - first.counts.drops,
        "cores": {name: round(value / elapsed, 3) for name, value in used.items()},
        "ms_per_verdict": {name: round(1000 * value / max(1, verdicts), 4) for name, value in used.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--fps", type=float, default=2000.0, help="of all cameras together")
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32, help="batching.max_batch")
    parser.add_argument("--latency-ms", type=float, default=5.0, help="what the stub takes for a batch")
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="main-process") as name:
        folder = Path(name)
        file = folder / "line.toml"
        file.write_text(settings(arguments, folder))
        (folder / "behaviour.json").write_text(json.dumps({"latency_ms": arguments.latency_ms}))
        command = [sys.executable, *([str(STUB)] if arguments.bank is None else ["-m", "inspectd"])]
        with (
            DaemonProcess(file, folder / "log", command=command, own_group=True) as daemon,
            LiveReader(f"ipc://{folder}/run/verdicts.sock") as reader,
        ):
            print(json.dumps(measure(daemon.pid, reader, arguments.seconds)))


if __name__ == "__main__":
    main()
