"""Names on the plant's servers: streams, subjects, message ids. Pure; `docs/fleet.md` is their page."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd.wire import PartVerdict, Verdict
from inspectd.wire.sync import Position
from inspectd.wire.verdicts import MAX_NUMBER

ID_HEADER: Final = "Nats-Msg-Id"
EXPECTED_HEADER: Final = "Nats-Expected-Last-Sequence"
WRITER_HEADER: Final = "Inspectd-Forwarder"
"""Who wrote a verdict: the forwarder's host, and what no other forwarder has."""
ABOUT_HEADER: Final = "Inspectd-Header"
"""The JSON header of a heatmap or preview, as on the bus."""

_REPAIR: Final = ":fix"

LINE_AS_WHOLE: Final = "-"
"""In place of the camera, of parts."""


class LineNames(msgspec.Struct, frozen=True):
    """What belongs to one line on the servers.

    Attributes:
        plant: plant name, as on the bus.
        line: line name.
    """

    plant: str
    line: str

    @property
    def stream(self) -> str:
        """The stream of its verdicts. Neither name can have a `+`, so no two lines share one."""
        return f"V+{self.plant}+{self.line}"

    @property
    def extras_stream(self) -> str:
        """The stream of its heatmaps and thumbnails."""
        return f"H+{self.plant}+{self.line}"

    @property
    def reports_stream(self) -> str:
        """The stream of what it says it runs."""
        return f"R+{self.plant}+{self.line}"

    @property
    def report(self) -> str:
        """The subject of what it says it runs."""
        return f"{self.base}.run"

    @property
    def base(self) -> str:
        """What its subjects begin with."""
        return f"i1.{self.plant}.{self.line}"

    @property
    def inbox(self) -> str:
        """Where answers to its forwarder go: no other line's user may listen there."""
        return f"_INBOX.{self.plant}.{self.line}"

    @property
    def agent_inbox(self) -> str:
        """Where answers to its agent go."""
        return f"_INBOX.agent.{self.plant}.{self.line}"

    def verdicts(self, epoch: int | None = None) -> str:
        """Subjects of verdicts that were forwarded in order, of one epoch or all."""
        return f"{self.base}.v.>" if epoch is None else f"{self.base}.v.{epoch}.*"

    def repairs(self, epoch: int | None = None) -> str:
        """Subjects of verdicts that were found missing and added later."""
        return f"{self.base}.fix.>" if epoch is None else f"{self.base}.fix.{epoch}.*"

    def subject(self, verdict: Verdict | PartVerdict, *, is_repair: bool = False) -> str:
        """The subject of one verdict: the epoch is part of it, so that servers count verdicts by epoch."""
        camera = LINE_AS_WHOLE if isinstance(verdict, PartVerdict) else verdict.camera
        return f"{self.base}.{'fix' if is_repair else 'v'}.{verdict.epoch}.{camera}"

    def extra_subject(self, kind: str, camera: str) -> str:
        """The subject of a camera's heatmaps (`h`) or previews (`pv`)."""
        return f"{self.base}.{kind}.{camera}"

    def epoch_of(self, subject: str) -> int | None:
        """The epoch of a subject of verdicts; None where it is another line's, or no such subject."""
        rest = subject.removeprefix(f"{self.base}.").split(".")
        is_ours = subject.startswith(f"{self.base}.") and len(rest) == 3 and rest[0] in {"v", "fix"}
        return _number(rest[1]) if is_ours else None


class PlantNames(msgspec.Struct, frozen=True):
    """What belongs to all lines of a plant. No line's subjects begin like these, whatever its name.

    Attributes:
        plant: plant name, as on the bus.
    """

    plant: str

    @property
    def banks_stream(self) -> str:
        """The stream of recipes with their banks, in chunks."""
        return f"BANKS+{self.plant}"

    @property
    def desired_stream(self) -> str:
        """The stream of what each line should run."""
        return f"DESIRED+{self.plant}"

    @property
    def base(self) -> str:
        """What its subjects begin with."""
        return f"fleet1.{self.plant}"

    def chunk(self, sha256: str, number: int | None = None) -> str:
        """The subject of a chunk of the archive with that digest; of all its chunks without a number."""
        return f"{self.base}.chunk.{sha256}.{'*' if number is None else number}"

    def desired(self, line: str) -> str:
        """The subject of what a line should run."""
        return f"{self.base}.desired.{line}"

    def rollout(self, sha256: str) -> str:
        """The subject of how the rollout of the order of that digest stands."""
        return f"{self.base}.rollout.{sha256}"


def message_id(position: Position, *, is_repair: bool = False) -> str:
    """The id by which servers know a verdict again; a repair has another than the one that is gone."""
    return f"{position.epoch}:{position.seq}{_REPAIR if is_repair else ''}"


def position_of(text: str | None) -> Position | None:
    """The verdict that a message id names; None where it is none."""
    epoch, colon, seq = (text or "").removesuffix(_REPAIR).partition(":")
    numbers = _number(epoch), _number(seq)
    if not colon or numbers[0] is None or numbers[1] is None:
        return None
    return Position(numbers[0], numbers[1])


def _number(text: str) -> int | None:
    """An epoch or number of a verdict; None where none can have it: Python reads none of 5,000 digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_NUMBER))):
        return None
    number = int(text)
    return number if number <= MAX_NUMBER else None
