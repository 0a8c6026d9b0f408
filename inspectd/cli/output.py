"""Output of commands: no text from outside reaches the terminal unescaped."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from inspectd.text import printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.text import Text


class PlainOutput(io.TextIOBase):
    """Standard output for whatever is printed: line breaks pass, every other control character is escaped."""

    def __init__(self, terminal: TextIO) -> None:
        """Write to `terminal`."""
        self.terminal = terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The terminal's."""
        return self.terminal.encoding

    def write(self, text: str) -> int:
        """Write `text`, made printable; the number of characters taken."""
        self.terminal.write(printable_lines(text))
        return len(text)

    def flush(self) -> None:
        """Write out what is buffered."""
        self.terminal.flush()

    def isatty(self) -> bool:
        """True if a person reads it."""
        return self.terminal.isatty()

    def fileno(self) -> int:
        """The terminal's descriptor."""
        return self.terminal.fileno()


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Let everything that is printed meanwhile be printable, in whatever encoding the terminal has."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    with contextlib.redirect_stdout(PlainOutput(sys.stdout)):
        yield


def warn(text: str) -> None:
    """Say on standard error what a person should look at, though it keeps nothing from being done."""
    print(f"warning: {printable(text)}", file=sys.stderr)


def say_step(text: str) -> None:
    """Say on standard error what takes its time now; to a person at a terminal, not in a program's log."""
    if sys.stderr.isatty():
        print(f"{printable(text)} ...", file=sys.stderr, flush=True)


def console(*, highlight: bool = True) -> Console:
    """For tables, colours and live views, whose own control sequences must pass: put text in by `cell`."""
    from rich.console import Console  # noqa: PLC0415 - `bench` runs without it

    file = sys.stdout.terminal if isinstance(sys.stdout, PlainOutput) else sys.stdout
    return Console(file=file, highlight=highlight)


def progress_bars(*columns: ProgressColumn) -> Progress:
    """For bars on standard error; what is printed meanwhile still goes to standard output, a file's too."""
    from rich.console import Console  # noqa: PLC0415 - see `console`
    from rich.progress import Progress  # noqa: PLC0415

    return Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty())


def cell(text: str, style: str = "") -> Text:
    """Text for a `console`: printable, and no markup."""
    from rich.text import Text  # noqa: PLC0415 - see `console`

    return Text(printable(text), style)
