"""Measures what the daemon's main process costs: share of a core against verdicts a second.

Usage: measure_main_process.py BANK IMAGES [--fps N] [--cameras N] [--seconds N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zmq

CAMERA = """
[[cameras]]
kind = "images"
name = "cam{n}"
recipe = "r"
folder = "{images}"
fps = {fps}
loop = true
"""


def settings(arguments: argparse.Namespace) -> str:
    cameras = "".join(
        CAMERA.format(n=n, images=arguments.images.resolve(), fps=arguments.fps / arguments.cameras)
        for n in range(arguments.cameras)
    )
    recipe = f'[[recipes]]\nname = "r"\nbank = "{arguments.bank.resolve()}"\n'
    return f"[line]\ndeadline_ms = 2000\n{recipe}{cameras}[metrics]\nport = 0\n"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def verdicts_so_far(reader: "zmq.Socket[bytes]") -> int:
    while True:
        header = json.loads(reader.recv_multipart()[1])
        if header["schema"].startswith("heartbeat/"):
            return int(header["counts"]["verdicts"])


def measure(pid: int, reader: "zmq.Socket[bytes]", seconds: float) -> dict[str, float]:
    while verdicts_so_far(reader) < 50:
        pass
    cpu, verdicts, began = cpu_seconds(pid), verdicts_so_far(reader), time.monotonic()
    while time.monotonic() - began < seconds:
        verdicts_so_far(reader)
    elapsed = time.monotonic() - began
    rate = (verdicts_so_far(reader) - verdicts) / elapsed
    return {
        "verdicts_per_second": round(rate, 1),
        "main_cpu_share": round((cpu_seconds(pid) - cpu) / elapsed, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bank", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--fps", type=float, default=100.0, help="of all cameras together")
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "line.toml"
        file.write_text(settings(arguments))
        environment = {**os.environ, "RUNTIME_DIRECTORY": f"{folder}/run"}
        daemon = subprocess.Popen([sys.executable, "-m", "inspectd", "run", str(file)], env=environment)
        reader: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        reader.subscribe(b"")
        reader.setsockopt(zmq.RCVTIMEO, 60_000)  # a daemon that does not start ends the measurement
        reader.connect(f"ipc://{folder}/run/verdicts.sock")
        try:
            print(json.dumps(measure(daemon.pid, reader, arguments.seconds)))
        finally:
            daemon.terminate()
            daemon.wait()


if __name__ == "__main__":
    main()
