"""`inspectd golden run`: leads a person through a check with golden parts."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable

from inspectd.cli.line_sockets import socket_of
from inspectd.cli.numbers import patience
from inspectd.cli.person import user_name
from inspectd.client.golden import GoldenAsker
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.wire.golden import (
    GoldenAck,
    GoldenAction,
    GoldenAgreement,
    GoldenAnswer,
    GoldenOutcome,
    GoldenRefusal,
    GoldenRefusalReason,
    GoldenShowing,
    GoldenToShow,
)

_PAUSE_SECONDS = 0.2
_MOST_NAME = 64
_END_SECONDS = 15.0
"""A part that is shown has its result by then."""
_SOON = {GoldenRefusalReason.BUSY, GoldenRefusalReason.NOT_READY}
"""Refusals after which the same part may be shown again."""


def main(arguments: argparse.Namespace) -> int:
    """Do one check; 0 if it passed.

    Raises:
        ConfigError: the configuration file cannot be used.
        InputError: an option is wrong, or the line refuses the check.
        UnavailableError: the line does not run here, or does not answer.
    """
    timeout_seconds = patience(arguments.timeout)
    who = who_asks(arguments.who)
    with GoldenAsker(socket_of(arguments.config, "control"), who=who) as asker:
        for number in (signal.SIGTERM, signal.SIGHUP):  # such as of a terminal that is closed
            signal.signal(number, signal.default_int_handler)
        return GoldenDialog(asker, timeout_seconds).run(arguments.recipe)


def who_asks(given: str | None) -> str:
    """The name for the record: as `--who` gives it, else this user's.

    Raises:
        InputError: it is too long, or does not print.
    """
    who = given if given is not None else user_name()[:_MOST_NAME]
    if len(who) > _MOST_NAME or not who.isprintable():
        raise InputError(f"--who: got {who[:80]!r}, expected at most {_MOST_NAME} printable characters")
    return who


def end_check(
    asker: GoldenAsker,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> GoldenAnswer:
    """Have the line end its check, once a part that is before its cameras has its result.

    Raises:
        UnavailableError: the line does not answer.
    """
    deadline = clock() + _END_SECONDS
    answer = asker.ask(GoldenAction.END)
    while (
        isinstance(answer, GoldenRefusal) and answer.reason is GoldenRefusalReason.BUSY and clock() < deadline
    ):
        pause(_PAUSE_SECONDS)
        answer = asker.ask(GoldenAction.END)
    return answer


class GoldenDialog:
    """A check, as a person does it at a terminal."""

    def __init__(
        self,
        asker: GoldenAsker,
        timeout_seconds: float,
        *,
        read_line: Callable[[str], str] = input,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Lead through a check.

        Args:
            asker: asks the line.
            timeout_seconds: longest wait for the result of a part that was shown.
            read_line: waits for the person, as `input` does.
            pause: waits so many seconds before asking again.
            clock: seconds on a clock that never goes back.
        """
        self._asker = asker
        self._timeout_seconds = timeout_seconds
        self._read_line = read_line
        self._pause = pause
        self._clock = clock

    def run(self, recipe: str | None) -> int:
        """Do it all; the exit code."""
        answer = self._asker.ask(GoldenAction.BEGIN, recipe=recipe)
        if isinstance(answer, GoldenRefusal):
            raise InputError(f"no check can be begun: {answer.detail}")
        print(f"check of recipe {answer.recipe}; Ctrl-C ends it")
        try:
            while answer.to_show and answer.outcome is not GoldenOutcome.ABANDONED:
                answer = self._show(answer, answer.to_show[0])
            answer = self._await_record(answer)
        except (KeyboardInterrupt, EOFError):
            ended = end_check(self._asker, pause=self._pause, clock=self._clock)
            if isinstance(ended, GoldenRefusal):
                raise InspectdError(
                    f"nothing is ended: {ended.detail}; inspectd status says how it stands"
                ) from None
            print("\nended before all was shown")
            answer = ended
        except InputError:
            self._asker.ask(GoldenAction.END)  # or nobody could begin another one for a while
            raise
        return _said(answer)

    def _show(self, before: GoldenAck, wanted: GoldenToShow) -> GoldenAck:
        """Have one part shown; how the check stands then."""
        where = ", ".join(wanted.cameras)
        if set(wanted.cameras) & set(before.triggered):
            print(f'send {wanted.part} past {where}; its trigger has "golden": "{wanted.part}"')
            return self._await(before, float("inf"))
        self._read_line(f"put {wanted.part} in front of {where}, then press Enter ")
        answer = self._asker.ask(GoldenAction.SHOW, part=wanted.part)
        if isinstance(answer, GoldenRefusal):
            if answer.reason not in _SOON:
                raise InputError(f"{wanted.part} cannot be shown: {answer.detail}")
            print(f"  not now: {answer.detail}")
            return before
        return self._await(before, self._timeout_seconds)

    def _await(self, before: GoldenAck, timeout_seconds: float) -> GoldenAck:
        """Wait for the result of the next showing, or the end of the check."""
        deadline = self._clock() + timeout_seconds
        while self._clock() < deadline:
            answer = self._status(before)
            if answer.shown > before.shown and answer.last is not None:
                _say_showing(answer.last)
                return answer
            if answer.outcome is GoldenOutcome.ABANDONED:
                return answer
            self._pause(_PAUSE_SECONDS)
        print(f"  no result within {timeout_seconds:g} s; show it again")
        return before

    def _status(self, before: GoldenAck) -> GoldenAck:
        """How the check stands now."""
        answer = self._asker.ask(GoldenAction.STATUS)
        if isinstance(answer, GoldenRefusal) or answer.check != before.check:
            raise UnavailableError("the line has dropped the check; was it restarted? Begin again")
        return answer

    def _await_record(self, answer: GoldenAck) -> GoldenAck:
        """Wait for the record of a check whose parts were all shown: only then has it passed."""
        deadline = self._clock() + self._timeout_seconds
        while answer.outcome is None and self._clock() < deadline:
            self._pause(_PAUSE_SECONDS)
            answer = self._status(answer)
        if answer.outcome is None:
            raise UnavailableError(
                f"the end of the check is not recorded within {self._timeout_seconds:g} s; does the disk of "
                "the line's state directory answer? inspectd status says whether the check is still due"
            )
        return answer


def _say_showing(showing: GoldenShowing) -> None:
    scores = ", ".join(
        f"{view.camera} {view.evaluation}" + ("" if view.score is None else f" {view.score:.4g}")
        for view in showing.views
    )
    words = {
        GoldenAgreement.AGREED: "as expected",
        GoldenAgreement.DISAGREED: "NOT as expected",
        GoldenAgreement.UNDECIDED: "not judged; it has to be shown again",
    }
    print(f"  {showing.part}: {words[showing.agreement]} ({scores or 'no view'})")
    for problem in showing.problems:
        print(f"    {problem}")


def _said(answer: GoldenAck) -> int:
    """Say how the check ended; the exit code."""
    if answer.outcome is GoldenOutcome.PASSED:
        print("passed")
        return ExitCode.OK
    print("FAILED" if answer.outcome is GoldenOutcome.FAILED else "abandoned: nothing has changed")
    for problem in answer.problems:
        print(f"  {problem}")
    return ExitCode.FAILED
