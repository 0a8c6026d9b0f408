"""Errors for people, in a few kinds, each with its exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every inspectd command and child process; documented in README.md."""

    OK = 0
    FAILED = 1
    """The command ran and its answer is no, or an internal error."""
    BAD_INPUT = 2
    """A file, an option or a bank is wrong; the message names it and what was expected."""
    UNAVAILABLE = 3
    """A resource is unavailable: port in use, directory not writable, device missing or its memory full."""


class InspectdError(Exception):
    """Base of every error that is shown to a person as one message, without a traceback."""

    exit_code = ExitCode.FAILED


class InputError(InspectdError):
    """User input (an option, a folder, a file) cannot be used."""

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
    """A threshold is so far above the scores of a bank's good images that it must be a mistake."""


class CheckAboveError(ThresholdError):
    """A recipe's `check_above` is not below the threshold in force."""


class UnavailableError(InspectdError):
    """A resource of the machine (port, directory, device, child process) is unavailable."""

    exit_code = ExitCode.UNAVAILABLE
