"""`inspectd run FILE`: the daemon."""

from __future__ import annotations

import argparse
import faulthandler
from pathlib import Path

from inspectd import config, log
from inspectd.errors import ExitCode
from inspectd.limits import raise_descriptor_limit
from inspectd.service import open_service
from inspectd.settled import settle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", type=Path, help="configuration file; `inspectd init` writes one")


def main(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP has the file read again.

    Raises:
        ConfigError: the file has problems.
        UnavailableError: a port, the runtime directory or a process is unavailable.
        InputError: a bank cannot be used.
    """
    # A crash, and the SIGABRT of systemd's watchdog, leave every thread's stack in the log.
    faulthandler.enable()
    settings = config.load(arguments.file)
    log.setup(settings.log.level, settings.log.format)
    settle()
    raise_descriptor_limit()  # the doors' clients take them
    with open_service(settings, file=arguments.file) as service:
        service.run()
    return ExitCode.OK
