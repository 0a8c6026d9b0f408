"""Runs a program of a Triton kernel on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def interpreted(program: Path) -> Any:
    """What a program found by Triton's interpreter: the JSON it prints.

    In a process of its own: the interpreter is chosen when Triton is imported, for the whole process.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
