"""Ordinary users: what a test that runs as root has to give up first, for file modes to count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_without_rights(code: str, *arguments: object, env: dict[str, str] | None = None) -> str:
    """Run Python code without a superuser's rights, whoever the user is; what it printed."""
    root = Path(__file__).parents[2]
    env = dict(os.environ if env is None else env, PYTHONPATH=f"{root}:{root / 'tests'}")
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", code]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, env=env,
        cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
