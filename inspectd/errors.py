"""What can go wrong, in the few kinds a person has to tell apart, each with its exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How every inspectd command and child process ends; documented in README.md."""

    OK = 0
    FAILED = 1
    """The command ran and its answer is no, or it failed in a way that is not the user's input."""
    BAD_INPUT = 2
    """A file, an option or a bank is wrong; the message says which and what was expected."""
    UNAVAILABLE = 3
    """Something outside is in the way: a port is taken, a directory cannot be written, a device is gone or
    full."""


class InspectdError(Exception):
    """Base of every error that is shown to a person as one message, without a traceback."""

    exit_code = ExitCode.FAILED


class InputError(InspectdError):
    """What the user gave (an option, a folder, a file) cannot be used."""

    exit_code = ExitCode.BAD_INPUT


class ConfigError(InputError):
    """A configuration file has problems.

    Attributes:
        problems: every problem found, each `path: what was wrong and what was expected`.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        """Collect `problems` found in the file named `source`."""
        self.problems = problems
        noun = "problem" if len(problems) == 1 else "problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source}: {len(problems)} {noun}\n{lines}")


class BankError(InputError):
    """A bank file is missing, damaged, of an unknown version, or made for other weights."""


class ThresholdError(BankError):
    """A threshold lies so far from the scores of a bank's good images that nobody can mean it."""


class UnavailableError(InspectdError):
    """A resource of the machine (port, directory, device, child process) cannot be had."""

    exit_code = ExitCode.UNAVAILABLE
