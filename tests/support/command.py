"""The command `inspectd`, in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def inspectd(*words: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [sys.executable, "-m", "inspectd", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, check=False)
