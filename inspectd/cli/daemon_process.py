"""A line's daemon as the child of a demo, a benchmark or a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

STOP_SECONDS: Final = 15.0
_LOG_TAIL_LINES: Final = 20
_INSPECTD: Final = (sys.executable, "-P", "-m", "inspectd")


class DaemonProcess(subprocess.Popen[bytes]):
    """`inspectd run FILE` and its log; it never outlives a `with` block.

    Args:
        file: its settings.
        log: where its log goes.
        command: the words before `run`.
        environment: variables, over those of this process.
        stderr: descriptor that takes the log instead.
        append: go on in the log of an earlier start.
        own_group: Ctrl-C in the terminal is for the parent, which stops the daemon in order.
    """

    def __init__(
        self,
        file: Path,
        log: Path,
        *,
        command: Sequence[str] = _INSPECTD,
        environment: Mapping[str, str] | None = None,
        stderr: int | None = None,
        append: bool = False,
        own_group: bool = False,
    ) -> None:
        self.log = log
        with log.open("ab" if append else "wb") as output:
            super().__init__(
                [*command, "run", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output if stderr is None else stderr,
                env={**os.environ, **(environment or {})},
                process_group=0 if own_group else None,
            )

    def log_tail(self) -> str:
        """The last lines it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()
        try:
            self.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
