"""What runs on the GPU machine: every finding is one line of JSON in $OUT, and text for people on stdout."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benches import benches, killed, more_benches, service
from calls import DRY, OUT, put, run_to_end, step

_FIRST_TESTS = [
    f"tests/backends/cuda/test_{name}.py" for name in ("resize_kernel", "faiss_index", "pipeline")
]
"""Of what no card has run yet, and of faiss, which travels with the benches alone; none needs weights."""
_WITHOUT_TORCH = {  # what only starts processes, in this one; and the seconds that have to be left for it
    "first_tests": (lambda: tests(_FIRST_TESTS), 40),
    "tests": (lambda: tests(with_gpu_tests()), 60),
    "benches": (benches, 0),
    "more_benches": (more_benches, 0),
    "service": (service, 200),
    "killed": (killed, 170),
}
_ON_THE_CARD = {  # file, seconds that have to be left for it and that it may take, in a process of its own
    "machine": ("ceilings", 0, 40),
    "ceilings": ("ceilings", 0, 60),
    "contact": ("first_contact", 30, 120),
    "taken": ("first_contact", 40, 90),
    "accuracy": ("real_parts", 40, 120),
    "profile": ("time_spent", 40, 150),
    "stages": ("time_spent", 40, 100),
    "sustained": ("time_spent", 60, 400),
}


def with_gpu_tests() -> list[str]:
    """Files in which tests need a card."""
    found = subprocess.run(
        ["grep", "-rlE", "--include=test_*.py", "pytest.mark.gpu|marks=pytest.mark.gpu", "tests"],
        capture_output=True,
        text=True,
        check=False,
    )
    return sorted(found.stdout.split())


def tests(files: list[str]) -> None:
    """Files with tests that need a card, each in a process of its own: a poisoned context ends there."""
    if DRY:
        put("tests", files=files)
        return
    # faiss does not travel with what the other tests need.
    without = [] if importlib.util.find_spec("faiss") else ["-k", "not faiss and not flat"]
    pytest = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-W", "default", "-p", "no:cacheprovider"]

    def one(name: str) -> None:
        try:
            done = run_to_end([*pytest, "-rfs", "--timeout", "150", *without, name], 240)
        except TimeoutError as error:
            put("tests", file=name, result=str(error))
            return
        with (OUT / "pytest.txt").open("a") as file:
            file.write(done.stdout + done.stderr)
        lines = done.stdout.strip().splitlines()
        put(
            "tests",
            file=name,
            result=lines[-1] if lines else done.stderr[-300:],
            failed=[line[:200] for line in lines if line.startswith(("FAILED", "ERROR ", "SKIPPED"))],
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, sorted(files, key=lambda name: "test_scorer" not in name)))


def run(word: str) -> None:
    """One step; on the card a process of its own, which may hang or lose the card and costs no other step."""
    if word in _WITHOUT_TORCH:
        work, needs = _WITHOUT_TORCH[word]
        with step(word, 0 if DRY else needs) as go:
            if go:
                work()
        return
    file, needs, most = _ON_THE_CARD[word]
    with step(word, 0 if DRY else needs) as go:
        if go and DRY:
            step_of(file, word)()
        elif go:
            done = run_to_end([sys.executable, __file__, "one", file, word], most, shown=True)
            if done.returncode:
                put("failed", what=word, error=f"exit {done.returncode}, see the log")


def step_of(file: str, word: str) -> Callable[..., None]:
    return getattr(importlib.import_module(file), word)


def main() -> None:
    first, *rest = sys.argv[1:]
    if first == "cells":
        step_of("real_parts", "cells")(*rest)
    elif first == "table":
        step_of("findings", "table")(rest)
    elif first == "one":
        step_of(*rest)()
    else:
        for word in (first, *rest):
            run(word)


if __name__ == "__main__":
    main()
