"""Directories that the settings leave to the system: systemd's, the user's own, and temporary ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inspectd.errors import UnavailableError
from inspectd.files import home_folder, temporary_root

_SERVICE_LINE: Final = "INSPECTD_LINE"
"""The units set it to their instance: `inspectd@line1` is for `line1`."""


def other_line_problems(name: str) -> Iterator[str]:
    """A file that was copied for another line, and not changed: its service says which line it is for.

    Args:
        name: of the line, as the file has it.
    """
    meant = os.environ.get(_SERVICE_LINE)
    if meant and meant != name:
        yield (
            f"line.name: got {name!r}, expected {meant!r}, the line that this service was started for "
            f"({_SERVICE_LINE}); was the file copied from another line's?"
        )


def systemd_directory(variable: str) -> Path | None:
    """Directory that systemd names in `variable`, such as `STATE_DIRECTORY`; the first of several."""
    first = os.environ.get(variable, "").partition(":")[0]
    return Path(first) if first else None


def user_directory(variable: str, below_home: str) -> Path | None:
    """Directory that `variable` names, else one below the user's home directory.

    None for a user who has none: no $HOME and no entry among the system's users, as in many a container.
    """
    given = os.environ.get(variable)
    if given:
        return Path(given)
    home = home_folder()
    return None if home is None else home / below_home


def cache_directory() -> Path | None:
    """Place of what can be worked out again; None: nothing names one (systemd, $XDG_CACHE_HOME, a home)."""
    given = systemd_directory("CACHE_DIRECTORY")
    if given is not None:
        return given
    root = user_directory("XDG_CACHE_HOME", ".cache")
    return None if root is None else root / "inspectd"


def default_state_dir(plant: str, line: str) -> Path:
    """Where a line keeps its state if `line.state_dir` is empty.

    Raises:
        UnavailableError: nothing names one.
    """
    given = systemd_directory("STATE_DIRECTORY")
    if given is not None:
        return given
    root = user_directory("XDG_STATE_HOME", ".local/state")
    if root is None:
        raise UnavailableError(
            f"line.state_dir: is empty, $STATE_DIRECTORY is not set, and user {os.getuid()} has no home "
            "directory ($HOME); set one of them"
        )
    return root / "inspectd" / plant / line


def default_runtime_dir(line: str) -> Path:
    """Where a line's local sockets go if `line.runtime_dir` is empty.

    Raises:
        UnavailableError: nothing names one.
    """
    given = systemd_directory("RUNTIME_DIRECTORY")
    if given is not None:
        return given
    try:
        return temporary_root() / f"inspectd-{os.getuid()}" / line
    except UnavailableError as error:
        raise UnavailableError(
            f"line.runtime_dir: is empty, $RUNTIME_DIRECTORY is not set, and {error}"
        ) from error
