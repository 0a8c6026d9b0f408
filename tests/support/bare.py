"""A machine with nothing but what `inspectd bench` requires: a folder of links to just those packages."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]
_INSTALLED = ("torch", "torchvision", "numpy", "opencv-python", "msgspec", "safetensors", "pyzmq")


class Bare:
    """Runs commands from a checkout beside those packages, what they require themselves, and nothing else."""

    def __init__(self, folder: Path) -> None:
        """Link the packages into `folder`."""
        self._folder = folder
        folder.mkdir()
        for name in _required(_INSTALLED):
            self._link(name)

    def run(self, *arguments: str, timeout_seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """`python -m inspectd ARGUMENTS`, without the site-packages of this Python."""
        path = os.pathsep.join([str(_CHECKOUT), str(self._folder)])
        return subprocess.run(
            [sys.executable, "-S", "-m", "inspectd", *arguments],
            env={**os.environ, "PYTHONPATH": path},
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
        )

    def _link(self, distribution: str) -> None:
        for file in importlib.metadata.files(distribution) or []:
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not (self._folder / top).exists():
                (self._folder / top).symlink_to(
                    Path(str(file.locate())).parents[len(file.parts) - 2]
                    if len(file.parts) > 1
                    else Path(str(file.locate()))
                )


def _required(names: Sequence[str]) -> set[str]:
    """Those distributions and everything they require themselves, as far as it is installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key not in found:
            found.add(key)
            needed = [text for text in requirements if "extra ==" not in text]
            waiting += [re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in needed]
    return found
