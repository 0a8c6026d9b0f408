"""What runs on the GPU machine: every finding is one line of JSON in $OUT, and text for people on stdout."""

from __future__ import annotations

import subprocess
import sys

from benches import benches, service
from ceilings import ceilings
from findings import table
from first_contact import contact, killed, taken
from gpu_run import DRY, OUT, WRN, left, noise, pipeline, put, step, sync
from real_parts import accuracy, cells
from time_spent import profile, stages, sustained


def tests() -> None:
    """Every file with tests that need a card, each in a process of its own: a poisoned context ends there."""
    from concurrent.futures import ThreadPoolExecutor

    files = subprocess.run(
        ["grep", "-rlE", "pytest.mark.gpu|marks=pytest.mark.gpu", "tests", "--include=test_*.py"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if DRY:
        put("tests", files=files)
        return

    def one(name: str) -> None:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "gpu",
            "-q",
            "-W",
            "default",
            "-p",
            "no:cacheprovider",
            "-rf",
            "--timeout",
            "150",
            name,
        ]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=max(30, min(240, left())),
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            put("tests", file=name, result="no answer in time")
            return
        with (OUT / "pytest.txt").open("a") as file:
            file.write(done.stdout + done.stderr)
        lines = done.stdout.strip().splitlines()
        put(
            "tests",
            file=name,
            result=lines[-1] if lines else done.stderr[-300:],
            failed=[line[:200] for line in lines if line.startswith(("FAILED", "ERROR "))],
        )

    with step("tests"), ThreadPoolExecutor(4) as pool:
        list(pool.map(one, sorted(files, key=lambda name: "test_scorer" not in name)))


def tiny() -> None:
    """For compute-sanitizer: a few batches through every kernel at an awkward size."""
    from inspectd.backends.cuda.half import HalvedPipeline

    steps = HalvedPipeline(
        pipeline({**WRN, "backbone": "resnet18", "height": 72, "width": 56, "rows": 301, "dims": 90})
    )
    steps.step_by_step(noise(3, 77, 91), lambda: None)
    sync()
    print("no fault seen; search", steps.search)


STEPS = {
    "ceilings": ceilings,
    "contact": contact,
    "accuracy": accuracy,
    "tests": tests,
    "benches": benches,
    "profile": profile,
    "stages": stages,
    "service": service,
    "taken": taken,
    "killed": killed,
    "sustained": sustained,
    "tiny": tiny,
    "table": table,
}


def main() -> None:
    first, *rest = sys.argv[1:]
    if first == "cells":
        cells(*rest)
    elif first == "table":
        table(rest)
    else:
        for word in (first, *rest):
            STEPS[word]()


if __name__ == "__main__":
    main()
