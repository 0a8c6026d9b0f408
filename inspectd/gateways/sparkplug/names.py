"""What the edge node tells: every metric by name. `docs/gateways/sparkplug.md` has the same tables."""

from __future__ import annotations

from typing import Final, NamedTuple

from inspectd.gateways.sparkplug.payload import DataType

REBIRTH: Final = "Node Control/Rebirth"
BD_SEQ: Final = "bdSeq"
PARTS: Final = "parts"
"""Id of the device whose data are the parts."""


class Told(NamedTuple):
    """A metric: its name and data type, and whether a change is told at once or with the next report."""

    name: str
    datatype: DataType
    is_prompt: bool = True


NODE: Final = (
    Told("Properties/Software", DataType.STRING),
    Told("Properties/Line", DataType.STRING),
    Told("Line/Liveness", DataType.STRING),
    Told("Line/State", DataType.STRING),
    Told("Line/Health", DataType.STRING),
    Told("Line/Conditions", DataType.STRING),
    Told("Line/Journal", DataType.STRING),
    Told("Line/Epoch", DataType.INT64),
    Told("Line/LastSeq", DataType.INT64, is_prompt=False),
    Told("Line/Heartbeat", DataType.DATE_TIME, is_prompt=False),
    Told("Counts/Captured", DataType.INT64, is_prompt=False),
    Told("Counts/Verdicts", DataType.INT64, is_prompt=False),
    Told("Counts/Drops", DataType.INT64, is_prompt=False),
    Told("Counts/Missed", DataType.INT64, is_prompt=False),
    Told("Counts/Triggers", DataType.INT64, is_prompt=False),
    Told("Counts/Parts", DataType.INT64, is_prompt=False),
    Told("Lost/Verdicts", DataType.INT64),
    Told("Lost/Spans", DataType.INT64),
    Told("Lost/Last", DataType.STRING),
)
"""Of the node, beside `bdSeq` and `Node Control/Rebirth`."""

PART: Final = (
    Told("Evaluation", DataType.INT32),
    Told("Reason", DataType.STRING),
    Told("ReasonCode", DataType.INT32),
    Told("TriggerId", DataType.STRING),
    Told("PartId", DataType.STRING),
    Told("EncoderCount", DataType.INT64),
    Told("Camera", DataType.STRING),
    Told("Score", DataType.DOUBLE),
    Told("Threshold", DataType.DOUBLE),
    Told("Views", DataType.STRING),
    Told("LatencyMs", DataType.DOUBLE),
    Told("DeadlineMarginMs", DataType.DOUBLE),
    Told("Late", DataType.BOOLEAN),
    Told("SecondLook", DataType.BOOLEAN),
    Told("Journaled", DataType.BOOLEAN),
    Told("Recipe", DataType.STRING),
    Told("RecipeVersion", DataType.INT32),
    Told("BankSha256", DataType.STRING),
    Told("Triggered", DataType.DATE_TIME),
    Told("Decided", DataType.DATE_TIME),
    Told("Epoch", DataType.INT64),
    Told("Seq", DataType.INT64),
)
"""Of the device `parts`; all of them are sent with every part."""

CAMERA: Final = (Told("Phase", DataType.STRING),)
"""Of the device of a camera, which lives while the camera is up."""


def camera_device(camera: str) -> str:
    """Id of a camera's device."""
    return f"camera-{camera}"


def metrics_of(device: str | None) -> tuple[Told, ...]:
    """The metrics of a device; None: of the node."""
    return NODE if device is None else PART if device == PARTS else CAMERA
