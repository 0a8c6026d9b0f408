"""Programs of Debian packages that tests run."""

from __future__ import annotations

import shutil
import subprocess


def tool(name: str) -> str:
    """The path of a program; a test that needs it fails without it."""
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed: run tools/install_debian_packages.sh"
    return path


def run(*command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its outputs together are `stdout`."""
    return subprocess.run(
        [tool(command[0]), *command[1:]],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
