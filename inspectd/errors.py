"""Errors for people, in a few kinds, each with its exit code.

A right that is missing ends with 3 whatever it was missing for: what is there may be as it should be, and
whoever gives the right has nothing else to mend. So does a disk that fails, or a lack of memory or of
descriptors: it may be over in a moment, and with 2 no service is tried again. Both show by the system's error
that one was raised from.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import ClassVar, Final

_FOR_NOW: Final = {
    errno.EIO, errno.EREMOTEIO, errno.EUCLEAN, errno.EBADMSG,  # the disk, or what lies on it, is damaged
    errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ENODEV,  # a server of files is gone, or a disk is
    errno.ENOMEM, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
"""What the system says where nothing is wrong with the path, nor with what should be there."""


class ExitCode(IntEnum):
    """Exit codes of every inspectd command and child process; documented in README.md."""

    OK = 0
    FAILED = 1
    """The command ran and its answer is no, or an internal error."""
    BAD_INPUT = 2
    """A file, an option or a bank is wrong; the message names it and what was expected."""
    UNAVAILABLE = 3
    """A resource is unavailable: port in use, directory not writable, device missing or its memory full, disk
    that fails; or a right is missing, as to read a file or to listen on a port below 1024."""


class InspectdError(Exception):
    """Base of every error that is shown to a person as one message, without a traceback."""

    kind_code: ClassVar[ExitCode] = ExitCode.FAILED
    """Exit code of this kind, where no right is missing and no disk fails."""

    @property
    def exit_code(self) -> ExitCode:
        """With which the program ends that shows it."""
        return ExitCode.UNAVAILABLE if _is_of_the_machine(self) else self.kind_code


class InputError(InspectdError):
    """User input (an option, a folder, a file) cannot be used."""

    kind_code = ExitCode.BAD_INPUT


class ConfigError(InputError):
    """A configuration file has problems.

    Attributes:
        problems: every problem found, each `path: what was wrong and what was expected`.
    """

    def __init__(self, source: str, problems: list[str], note: str = "") -> None:
        """Collect `problems` found in the file named `source`; `note` is what else to know, after them."""
        self.problems = problems
        noun = "problem" if len(problems) == 1 else "problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source}: {len(problems)} {noun}\n{lines}" + (f"\n{note}" if note else ""))


class BankError(InputError):
    """A bank file is missing, damaged, of an unknown version, or made for other weights."""


class ThresholdError(BankError):
    """A threshold is so far above the scores of a bank's good images that it must be a mistake."""


class CheckAboveError(ThresholdError):
    """A recipe's `check_above` is not below the threshold in force."""


class UnavailableError(InspectdError):
    """A resource of the machine (port, directory, device, child process) is unavailable."""

    kind_code = ExitCode.UNAVAILABLE


def error_of(code: int, text: str) -> InspectdError:
    """What a program of ours that ended with this code said, as an error that ends with the same code."""
    kinds = (kind for kind in (InputError, UnavailableError) if kind.kind_code == code)
    return next(kinds, InspectdError)(text)


def _is_of_the_machine(error: BaseException | None) -> bool:
    """Whether it was raised from the system's word that this user may not do something, or that it fails."""
    while error is not None and not isinstance(error, PermissionError):
        # Of kinds of other modules, such as TLS's, the number means something else.
        if type(error) is OSError and error.errno in _FOR_NOW:
            return True
        error = error.__cause__
    return error is not None
