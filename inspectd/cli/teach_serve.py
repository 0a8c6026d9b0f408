"""`inspectd teach serve`: the teaching desk, by which the operator's page has a line taught."""

from __future__ import annotations

import argparse
import logging
import os
import pwd
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from inspectd import log
from inspectd.cli.line_folders import kept_by
from inspectd.cli.teach_common import place_of_line
from inspectd.config.places import systemd_directory
from inspectd.errors import ExitCode, InputError, UnavailableError
from inspectd.ipc.state_hold import StateHold
from inspectd.notify import Notifier
from inspectd.settled import settle
from inspectd.teach.candidates import remove_unfinished
from inspectd.teach.desk import TeachDesk
from inspectd.teach.desk_server import DeskServer
from inspectd.teach.jobs import TeachJobs

_log: Final = logging.getLogger(__name__)


def main(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: there is no such user, or nothing names a directory for the socket.
        UnavailableError: another desk serves the line, the socket cannot be made, or the folder of teaching
            cannot be written.
    """
    place, line = place_of_line(arguments.config), kept_by(arguments.config).line
    users = {os.getuid(), *(_user_id(name) for name in arguments.user)}
    path = _socket(arguments)
    log.setup("info", "text")
    settle()
    notifier = Notifier.from_environment()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    others = f"{place.root}: another teaching desk serves this line; stop it first, a line has one"
    with StateHold(place.root, others):  # before anything of the last desk's is ended or removed
        try:
            remove_unfinished(place)
        except UnavailableError as error:  # the next start tries again, and nothing else needs it
            log.event(_log, logging.WARNING, "teach_unfinished", detail=str(error))
        command = [sys.executable, "-m", "inspectd.cli.teach_job", str(arguments.config.resolve())]
        jobs = TeachJobs(place.root, command, lambda: time.time_ns() // 1_000_000)
        desk = TeachDesk(place, jobs, f"{line.plant}/{line.name}")
        with closing(jobs), DeskServer(path, desk, users) as server:
            serving = threading.Thread(target=server.serve_forever, name="desk", daemon=True)
            serving.start()
            log.event(_log, logging.INFO, "listening", socket=str(path))
            notifier.ready()
            stopping.wait()
            notifier.stopping()
            server.shutdown()
        path.unlink(missing_ok=True)
    log.event(_log, logging.INFO, "stopped")
    return ExitCode.OK


def _socket(arguments: argparse.Namespace) -> Path:
    folder: Path | None = arguments.runtime_dir or systemd_directory("RUNTIME_DIRECTORY")
    if folder is None:
        raise InputError(
            "--runtime-dir: is missing, expected a directory for the socket, such as /run/inspectd-teach/l1"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "teach.sock"


def _user_id(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise InputError(
            f"--user: this system has no user {name!r}, expected one such as inspectd-page"
        ) from None
