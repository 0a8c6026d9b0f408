"""For commands that read a line's cameras: the line has to be stopped, and stays so meanwhile."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from inspectd import config
from inspectd.errors import UnavailableError
from inspectd.ipc.runtime_dir import RuntimeDir


def stopped_line(settings: config.Config, *, needed: bool) -> AbstractContextManager[Path]:
    """The line's runtime directory, held so that the line cannot run meanwhile.

    Args:
        settings: of the line.
        needed: make the directory where it is not there.

    Raises:
        UnavailableError: the line runs.
    """
    if not needed and not settings.runtime_path.exists():
        return nullcontext(settings.runtime_path)
    return _HeldRuntimeDir(settings.runtime_path)


class _HeldRuntimeDir(RuntimeDir):
    """The runtime directory of a line that has to be stopped."""

    def __enter__(self) -> Path:
        try:
            return super().__enter__()
        except UnavailableError as error:
            raise UnavailableError(f"{error} (a running line holds its cameras: stop it first)") from error
