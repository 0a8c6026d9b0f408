"""Runs programs of Triton kernels on the CPU."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from support.once import made_once

_TESTS = Path(__file__).parents[1]


def interpreted(program: Path, factory: pytest.TempPathFactory) -> Any:
    """What a program, named `*_on_cpu.py`, found by Triton's interpreter: the JSON it prints.

    In another process, since the interpreter is chosen when Triton is imported, for the whole process; in one
    for all programs of its folder, since each would import torch.
    """

    def run_all(folder: Path) -> None:
        programs = map(str, sorted(program.parent.glob("*_on_cpu.py")))
        command = [sys.executable, "-W", "ignore", "-m", "support.interpreted", str(folder), *programs]
        subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, cwd=_TESTS, check=True)

    folder = made_once(factory, "interpreted", run_all)
    failure = folder / f"{program.stem}.failure"
    assert not failure.exists(), failure.read_text()
    return json.loads((folder / f"{program.stem}.json").read_text())


def main() -> None:
    """Run programs, and put into a folder what each prints, or why it failed."""
    folder = Path(sys.argv[1])
    for program in map(Path, sys.argv[2:]):
        with (folder / f"{program.stem}.json").open("w") as found, contextlib.redirect_stdout(found):
            try:
                runpy.run_path(str(program))
            except Exception:  # noqa: BLE001 - told by the test of this program
                (folder / f"{program.stem}.failure").write_text(traceback.format_exc())


if __name__ == "__main__":
    main()
