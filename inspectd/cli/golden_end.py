"""`inspectd golden end`: ends a check that nobody is doing any more."""

from __future__ import annotations

import argparse

from inspectd.cli.golden_run import end_check, who_asks
from inspectd.cli.line_sockets import socket_of
from inspectd.client.golden import GoldenAsker
from inspectd.errors import ExitCode, InspectdError
from inspectd.wire.golden import GoldenRefusal


def main(arguments: argparse.Namespace) -> int:
    """End the check that is under way, of whoever began it.

    Raises:
        ConfigError: the configuration file cannot be used.
        InputError: the name is wrong.
        InspectdError: the line refuses, as where no check is under way.
        UnavailableError: the line does not run here, or does not answer.
    """
    who = who_asks(arguments.who)
    with GoldenAsker(socket_of(arguments.config, "control"), who=who) as asker:
        answer = end_check(asker)
    if isinstance(answer, GoldenRefusal):
        raise InspectdError(f"no check is ended: {answer.detail}")
    print(f"check {answer.check} is ended; what was due is still due")
    return ExitCode.OK
