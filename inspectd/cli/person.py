"""Who runs a command, for records: as the system has it, and not as the environment says."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

_LOGIN: Final = Path("/proc/self/loginuid")
"""Who logged in, whatever user he has become since; the system sets it once, and nobody can set it back."""
_NOBODY: Final = 2**32 - 1
"""Stands there for what no login began, such as a service."""


def user_name() -> str:
    """Name of the user that runs this; of somebody who became another one, both: `anna as root`."""
    user, login = os.getuid(), _login()
    return _name(user) if login == user else f"{_name(login)} as {_name(user)}"


def command_door(who: str | None) -> str:
    """The door of a record that a command writes; where it was told who asks, it says who told it."""
    return "command" if who is None else f"command by {user_name()}"


def _login() -> int:
    try:
        login = int(_LOGIN.read_text())
    except (OSError, ValueError):  # a system that does not tell
        return os.getuid()
    return os.getuid() if login == _NOBODY else login


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
