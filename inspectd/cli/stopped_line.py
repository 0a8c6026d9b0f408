"""For commands that read a line's cameras: the line has to be stopped, and stays so meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inspectd import config
from inspectd.cli.line_folders import is_of_unit, runtime_place, state_place
from inspectd.errors import UnavailableError
from inspectd.ipc.runtime_dir import RuntimeDir, UnusableDirError
from inspectd.ipc.state_hold import HoldUnknownError, StateHold

_RUNS: Final = "(a running line holds its cameras: stop it first)"
_UNSEEN: Final = "(so this user cannot see whether the line runs: do this as the line's user, or as root)"


@contextlib.contextmanager
def stopped_line(settings: config.Config, file: Path, *, needed: bool) -> Iterator[Path]:
    """The line's runtime directory, held with its state so that the line cannot run meanwhile.

    Args:
        settings: of the line.
        file: that they are of.
        needed: make the directory where it is not there.

    Raises:
        UnavailableError: the line runs, or this user cannot see whether it does, or the directory is one that
            root has to make.
    """
    runtime = runtime_place(settings.line, file)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_state_of(settings, file))
            if needed:
                _refuse_unmade(runtime)
            if needed or os.path.lexists(runtime):
                stack.enter_context(RuntimeDir(runtime))
        except HoldUnknownError as error:
            raise UnavailableError(f"{error} {_UNSEEN}") from error
        except UnusableDirError:
            raise
        except UnavailableError as error:
            raise UnavailableError(f"{error} {_RUNS}") from error
        yield runtime


def _refuse_unmade(runtime: Path) -> None:
    """The service's own directory is made for its user: one that another user makes here shuts the plant out.

    Raises:
        UnusableDirError: it is that one, and is not there.
    """
    if is_of_unit(runtime) and not os.path.lexists(runtime):
        raise UnusableDirError(
            f"{runtime}: is not there while the service is stopped, and the plant sends its triggers there; "
            f"as root make it (`install -d -m 750 -o inspectd -g inspectd {runtime}`, by the line's user and "
            "group), then do this as the line's user (runuser -u inspectd)"
        )


def _state_of(settings: config.Config, file: Path) -> contextlib.AbstractContextManager[None]:
    """Holds the line's state, and makes nothing: a line that never ran here has none."""
    try:
        state = state_place(settings.line, file)
    except UnavailableError:  # nothing names a directory, which the line needs to run
        return contextlib.nullcontext()
    return StateHold(state, f"line.state_dir: another inspectd uses {state}", is_made=False)
