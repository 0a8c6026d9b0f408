"""Runs a line of many cameras and holds the memory its processes take against what `check` states.

Each camera replays a folder of noise, without preloading. Without a bank the stub scores. Prints one JSON
object: what was stated, what each kind of process takes (PSS: a page that several share counts in parts), and
whether every frame is accounted for. Exit code 1 where it is not, or where more memory is taken than stated.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np
from measure_main_process import STUB, heartbeat, processes

from inspectd import config
from inspectd.cli.check_memory import statement_of
from inspectd.cli.daemon_process import DaemonProcess
from inspectd.client import LiveReader

IMAGES: Final = 4
UP_SECONDS: Final = 120.0


def settings(arguments: argparse.Namespace, folder: Path) -> str:
    bank = str(arguments.bank.resolve()) if arguments.bank else "stub.bank"
    cameras = "".join(
        f"[[cameras]]\nkind = 'images'\nname = 'cam{number}'\nrecipe = 'r'\nfolder = '{folder}/images'\n"
        f"fps = {arguments.fps}\nloop = true\nslots = {arguments.slots}\n"
        f"phase = {number / arguments.cameras}\n"
        for number in range(arguments.cameras)
    )
    return (
        f"[line]\ndeadline_ms = 5000\nruntime_dir = '{folder}/run'\nstate_dir = '{folder}/state'\n"
        f"[[recipes]]\nname = 'r'\nbank = {json.dumps(bank)}\nany_size = true\nthreshold = 1e9\n"
        f"accept_threshold = true\n{cameras}[metrics]\nport = 0\n"
    )


def write_images(folder: Path, height: int, width: int) -> None:
    folder.mkdir()
    for seed in range(IMAGES):
        noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
        cv2.imwrite(str(folder / f"{seed}.bmp"), noise)  # takes the least time to read


def memory_bytes(pid: int, *names: str) -> int:
    """What the kernel counts of a process under these names, such as `Pss`, together."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.partition(":")[0] in names)


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    write_images(folder / "images", arguments.height, arguments.width)
    file = folder / "line.toml"
    file.write_text(settings(arguments, folder))
    (folder / "behaviour.json").write_text("{}")
    slot_bytes = dict.fromkeys(
        (f"cam{number}" for number in range(arguments.cameras)), arguments.width * arguments.height * 3
    )
    stated = statement_of(config.load(file).cameras, slot_bytes, scoring_bytes=0)
    command = [sys.executable, *([str(STUB)] if arguments.bank is None else ["-m", "inspectd"])]
    with (
        DaemonProcess(file, folder / "log", command=command, own_group=True) as daemon,
        LiveReader(f"ipc://{folder}/run/verdicts.sock") as reader,
    ):
        end = time.monotonic() + UP_SECONDS
        while set(heartbeat(reader).cameras.values()) != {"up"}:
            if time.monotonic() > end:
                raise SystemExit(f"not up: {(folder / 'log').read_text()[-2000:]}")
        first, began = heartbeat(reader).counts, time.monotonic()
        last = first
        while time.monotonic() - began < arguments.seconds:
            last = heartbeat(reader).counts
        pids = processes(daemon.pid)
        taken = {kind: [memory_bytes(pid, "Pss") for pid in each] for kind, each in pids.items()}
        # What scoring takes is stated by `check` alone, which loads the bank; frame slots are not its own.
        scoring = sum(
            memory_bytes(pid, "Private_Clean", "Private_Dirty")
            for kind, each in pids.items() if kind.startswith("scoring") for pid in each
        )  # fmt: skip
    total = sum(map(sum, taken.values()))
    closes = last.captured == last.verdicts + last.drops + last.in_flight
    return {
        "stated_without_scoring_mb": round(stated.total_bytes / 1e6),
        "taken_mb": round(total / 1e6),
        "of_that_scoring_mb": round(scoring / 1e6),
        "taken_by_kind_mb": {
            kind: {"processes": len(each), "least": round(min(each) / 1e6), "most": round(max(each) / 1e6)}
            for kind, each in taken.items()
        },
        "frames_per_second": round((last.captured - first.captured) / arguments.seconds, 1),
        "counts": msgspec.to_builtins(last),
        "count_closes": closes,
        "is_as_stated": closes and total - scoring <= stated.total_bytes,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cameras", type=int, default=32)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--fps", type=float, default=2.0, help="of each camera")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--bank", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="many-cameras") as name:
        found = run(arguments, Path(name))
    print(json.dumps(found))
    return 0 if found["is_as_stated"] else 1


if __name__ == "__main__":
    sys.exit(main())
