"""Where a line of this host has its directories, whose configuration file a person names.

A service is told them by systemd, and a person's command is not; it knows them by the unit. So no other
command reads `runtime_path`, `state_path` or `evidence_path` of the settings (`tools/check_imports.py`).
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

from inspectd import config
from inspectd.cli.output import warn
from inspectd.errors import ConfigError
from inspectd.files import is_file

# `RuntimeDirectory=` and `StateDirectory=` of the unit, above the instance's name, which is that of its
# configuration file; and where its `LoadCredential=` finds the line's secret key.
_RUN: Final = Path("/run/inspectd")
_STATE: Final = Path("/var/lib/inspectd")
_CREDENTIALS: Final = Path("/etc/credstore")


def kept_by(file: Path) -> config.Kept:
    """Where the line keeps what it keeps whose configuration file this is, with a warning of its problems.

    A line that runs goes on by what it read when it started, whatever was saved into its file since.

    Raises:
        ConfigError: the file does not say it, or may say it wrongly.
    """
    try:
        kept = config.load_kept(file)
    except ConfigError as error:
        if not is_file(file):
            raise
        note = (
            "Its line may be running all the same, by what it read before. It can be asked at its socket: "
            f"inspectd status ipc://{_RUN / file.stem}/sync.sock (that of the service; else below the "
            "directory that line.runtime_dir named)"
        )
        raise ConfigError(str(file), error.problems, note) from error
    if kept.problems:
        _warn_once(f"{file}: {'; '.join(kept.problems)}; no line starts by this file, one that runs goes on")
    return kept


_warn_once = cache(warn)


def runtime_places(settings: config.LineSettings, file: Path) -> list[Path]:
    """The directories that the line may have its sockets in while it runs, the likelier one first.

    Raises:
        UnavailableError: nothing names one.
    """
    return [settings.runtime_path] if settings.runtime_dir else [_RUN / file.stem, settings.runtime_path]


def runtime_place(settings: config.LineSettings, file: Path) -> Path:
    """The directory of its sockets, for a command that takes the place of a line that is stopped.

    Raises:
        UnavailableError: nothing names one.
    """
    by_unit = _RUN / file.stem
    left_open = not settings.runtime_dir and "RUNTIME_DIRECTORY" not in os.environ
    # systemd removes the one of a stopped line; that of its state stays, and shows that there is a service.
    is_service = os.path.lexists(by_unit) or os.path.lexists(_STATE / file.stem)
    return by_unit if left_open and is_service else settings.runtime_path


def is_of_unit(runtime: Path) -> bool:
    """Whether systemd makes this directory of sockets for its service."""
    return runtime.parent == _RUN


def state_place(settings: config.LineSettings, file: Path) -> Path:
    """The directory of its state.

    Raises:
        UnavailableError: nothing names one.
    """
    by_unit = _STATE / file.stem
    left_open = not settings.state_dir and "STATE_DIRECTORY" not in os.environ
    return by_unit if left_open and os.path.lexists(by_unit) else settings.state_path


def evidence_place(kept: config.Kept, file: Path) -> Path:
    """The directory of its evidence.

    Raises:
        UnavailableError: nothing names one.
    """
    return Path(kept.evidence.dir) if kept.evidence.dir else state_place(kept.line, file) / "evidence"


def credential_place(file: Path) -> Path:
    """The line's secret key in systemd's credential store, which its service uses where it is there."""
    return _CREDENTIALS / f"inspectd-{file.stem}.key_secret"
