"""The hand-shake of commands: ExecuteCommand up, CommandExecuting, CommandCompleted or Failed, down. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from inspectd.gateways.registers import StatusBit
from inspectd.wire.numbers import command_refusal_number


class CommandState(StrEnum):
    """Where the hand-shake of commands is."""

    IDLE = "idle"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"


_BITS = {
    CommandState.IDLE: StatusBit(0),
    CommandState.EXECUTING: StatusBit.EXECUTING,
    CommandState.COMPLETED: StatusBit.COMMAND_COMPLETED,
    CommandState.FAILED: StatusBit.COMMAND_FAILED,
}


class RecipeCommand(msgspec.Struct, frozen=True):
    """A command of the plant, for the line."""

    code: int
    number: int
    """Of a recipe, or of a golden part."""


class CommandCycle:
    """One command at a time; the end of one that was taken back is no answer to another."""

    def __init__(self) -> None:
        self.state = CommandState.IDLE
        self.result = 0
        """Number of why the last one was not done; 0: it was."""
        self._is_up = False
        self._is_taken_back = False
        self._begun = (0, 0)

    @property
    def bits(self) -> StatusBit:
        """What the plant sees."""
        return _BITS[self.state]

    def rose(self, code: int, number: int) -> RecipeCommand | None:
        """ExecuteCommand rose: the command that begins; None: another one executes."""
        self._is_up = True
        if self.state is CommandState.EXECUTING:
            return None
        self.state, self._begun = CommandState.EXECUTING, (code, number)
        return RecipeCommand(code, number)

    def fell(self) -> None:
        """ExecuteCommand fell."""
        self._is_up = False
        if self.state is CommandState.EXECUTING:
            self._is_taken_back = True
        else:
            self.state = CommandState.IDLE

    def found(self, *, is_up: bool) -> None:
        """ExecuteCommand in the first words that were had: what it did before them nobody saw."""
        if is_up:
            self._is_up = True
            self.take_back()
        else:
            self.fell()

    def asks(self, code: int, number: int) -> None:
        """What the plant asks for now; it may change that only once ExecuteCommand fell."""
        if self.state is not CommandState.IDLE and (code, number) != self._begun:
            self.take_back()

    def take_back(self) -> None:
        """Nobody waits for what was begun; ExecuteCommand that is up all the same asks for something else."""
        if self.state is CommandState.EXECUTING:
            self._is_taken_back = True
        elif self._is_up and self.state is not CommandState.FAILED:
            self.state, self.result = CommandState.FAILED, command_refusal_number("busy")

    def ended(self, problem: str | None) -> None:
        """It is done; `problem` is why it is not, as `wire.numbers` knows it."""
        if self._is_up and self._is_taken_back:
            problem = "busy"  # what is up now was never begun
        self.result = 0 if problem is None else command_refusal_number(problem)
        if not self._is_up:
            self.state = CommandState.IDLE
        else:
            self.state = CommandState.COMPLETED if problem is None else CommandState.FAILED
        self._is_taken_back = False
