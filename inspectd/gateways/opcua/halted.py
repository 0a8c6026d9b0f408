"""The file that says that Halt was called: a start of the gateway is no Reset."""

from __future__ import annotations

from pathlib import Path

from inspectd.errors import UnavailableError
from inspectd.files import is_there, write_bytes
from inspectd.gateways.opcua.audit import PlantAudit


class HaltMark:
    """A file that is there from Halt to Reset.

    Args:
        file: its place.
        audit: told where it cannot be written or taken away.
    """

    def __init__(self, file: Path, audit: PlantAudit) -> None:
        """It is as an earlier start of the gateway left it."""
        self._file, self._audit = file, audit

    def is_set(self) -> bool:
        """Whether Halt was called, and Reset was not since.

        Raises:
            InputError: it cannot be told.
        """
        return is_there(self._file)

    def keep(self, who: str, *, is_halted: bool) -> None:
        """Keep what somebody had done. Where that fails, it holds all the same until the gateway ends."""
        try:
            if is_halted:
                write_bytes(self._file, b"", has_one_writer=True)
            else:
                self._file.unlink(missing_ok=True)
        except (UnavailableError, OSError) as error:
            self._audit.refuse("keep_halted", who, "not_written", detail=str(error))
