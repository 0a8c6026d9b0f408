"""Runs the page's short-lived programs, such as for one picture: a few at a time, each with a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import BinaryIO, Final

import msgspec

from inspectd.memory_kills import NO_MEMORY, is_memory_kill, memory_kills

_MAX_ERROR_BYTES: Final = 4000
_END_SECONDS: Final = 2.0
_NICE: Final = ("nice", "-n", "15")


class ChildResult(msgspec.Struct, frozen=True):
    """What a program left.

    Attributes:
        code: its exit code; None: it took too long and was ended.
        output: what it wrote.
        error: the end of what it said besides.
    """

    code: int | None
    output: bytes
    error: str


class Children:
    """Starts programs of this package, a few at a time, and waits for each no longer than allowed."""

    def __init__(self, most: int) -> None:
        """Let `most` run at the same time; others wait for their turn."""
        self._turn = asyncio.Semaphore(most)

    async def run(
        self, module: str, arguments: Sequence[str], *, seconds: float, source: BinaryIO | None = None
    ) -> ChildResult:
        """Run `python -m MODULE ARGUMENTS` at low priority.

        Args:
            module: of this package.
            arguments: of it, none of which comes from a request.
            seconds: longest that it may take.
            source: its standard input.

        Raises:
            OSError: it cannot be started.
        """
        async with self._turn:
            before = memory_kills()
            child = await asyncio.create_subprocess_exec(
                *_NICE, sys.executable, "-m", module, *arguments,
                stdin=asyncio.subprocess.DEVNULL if source is None else source,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
            try:
                async with asyncio.timeout(seconds):
                    output, error = await child.communicate()
            except TimeoutError:
                return ChildResult(None, b"", "")
            finally:
                if child.returncode is None:  # too late, or whoever waited is gone
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                    with contextlib.suppress(TimeoutError):  # one that a disk holds ends when that answers
                        async with asyncio.timeout(_END_SECONDS):
                            await child.wait()
            said = error[-_MAX_ERROR_BYTES:].decode(errors="replace")
            if is_memory_kill(child.returncode, before, memory_kills()):
                said += f"\n{NO_MEMORY}"
            return ChildResult(child.returncode, output, said)
