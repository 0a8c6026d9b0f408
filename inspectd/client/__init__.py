"""Client library for programs of the plant; `docs/wire.md`, section 11, describes it.

    with VerdictReader("ipc:///run/inspectd/line1/verdicts.sock", cursor=Path("gate.cursor")) as reader:
        while True:
            item = reader.receive(timeout_seconds=0.2)
            if isinstance(item, PartVerdict):  # of a triggered line
                gate.verdict(item)  # the `Gate` of `tools/gate_simulator.py`
            if item is not None:
                reader.commit()

A part without a matching `pass` in time is rejected, by whoever holds the gate: one whose `trigger_id`,
`epoch` and `triggered_utc_ns` are those of its trigger's acknowledgement. Old verdicts are given again, and a
trigger id alone may be that of an earlier part (`docs/triggers.md`, section 1).

These readers give what they received, what is lost and whether the line is still alive, and never guess a
verdict. pyzmq and msgspec are all they need.
"""

from inspectd.client.aio import AsyncTriggerSender, AsyncVerdictReader
from inspectd.client.control import TriggerAnswer, TriggerSender
from inspectd.client.cursor import Cursor
from inspectd.client.decode import MAX_MESSAGE_BYTES, Heatmap, Message, Preview
from inspectd.client.joiner import Item, LossReason, Lost, Unread
from inspectd.client.live import LiveReader
from inspectd.client.previews import PreviewReader
from inspectd.client.recipes import ask_recipe
from inspectd.client.recorded import Replayed, replay
from inspectd.client.sockets import ClientKeys
from inspectd.client.status import ask_status
from inspectd.client.tracker import MISSED_HEARTBEATS, LineTracker, Liveness
from inspectd.client.verdicts import VerdictReader
from inspectd.errors import InputError, UnavailableError
from inspectd.wire import (
    Accepted,
    Counts,
    DeviceFacts,
    Evaluation,
    Event,
    HealthCondition,
    HealthStatus,
    Heartbeat,
    HeatmapHeader,
    HeatmapRef,
    Late,
    LineState,
    PartVerdict,
    PreviewHeader,
    PreviewHeat,
    Reason,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    RecipeState,
    Rectangle,
    Refusal,
    RefusalReason,
    TriggerRequest,
    Verdict,
    ViewVerdict,
    heat_of,
    heat_span,
)
from inspectd.wire.golden import (
    GoldenAgreement,
    GoldenOutcome,
    GoldenRecord,
    GoldenShowing,
    GoldenState,
    GoldenView,
)
from inspectd.wire.shadow import ShadowResult, ShadowScore, ShadowState, ShadowStatus
from inspectd.wire.sync import (
    CameraStatus,
    GoldenStatus,
    KeysStatus,
    LineStatus,
    Position,
    RecipeStatus,
    Truncated,
)

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MISSED_HEARTBEATS",
    "Accepted",
    "AsyncTriggerSender",
    "AsyncVerdictReader",
    "CameraStatus",
    "ClientKeys",
    "Counts",
    "Cursor",
    "DeviceFacts",
    "Evaluation",
    "Event",
    "GoldenAgreement",
    "GoldenOutcome",
    "GoldenRecord",
    "GoldenShowing",
    "GoldenState",
    "GoldenStatus",
    "GoldenView",
    "HealthCondition",
    "HealthStatus",
    "Heartbeat",
    "Heatmap",
    "HeatmapHeader",
    "HeatmapRef",
    "InputError",
    "Item",
    "KeysStatus",
    "Late",
    "LineState",
    "LineStatus",
    "LineTracker",
    "LiveReader",
    "Liveness",
    "LossReason",
    "Lost",
    "Message",
    "PartVerdict",
    "Position",
    "Preview",
    "PreviewHeader",
    "PreviewHeat",
    "PreviewReader",
    "Reason",
    "RecipeAck",
    "RecipeAction",
    "RecipeRefusal",
    "RecipeRefusalReason",
    "RecipeRequest",
    "RecipeState",
    "RecipeStatus",
    "Rectangle",
    "Refusal",
    "RefusalReason",
    "Replayed",
    "ShadowResult",
    "ShadowScore",
    "ShadowState",
    "ShadowStatus",
    "TriggerAnswer",
    "TriggerRequest",
    "TriggerSender",
    "Truncated",
    "UnavailableError",
    "Unread",
    "Verdict",
    "VerdictReader",
    "ViewVerdict",
    "ask_recipe",
    "ask_status",
    "heat_of",
    "heat_span",
    "replay",
]
