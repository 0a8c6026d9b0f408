"""The bus format: topics and every struct, with no need of the rest of the package."""

from inspectd.wire.bus import (
    TOPIC_VERSION,
    Counts,
    Event,
    Header,
    Heartbeat,
    HeatmapHeader,
    Kind,
    Late,
    decode,
    encode,
    prefix,
    topic,
)
from inspectd.wire.health import HealthCondition, HealthStatus
from inspectd.wire.recipes import (
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    RecipeState,
)
from inspectd.wire.triggers import Accepted, Refusal, RefusalReason, TriggerRequest
from inspectd.wire.verdicts import (
    DeviceFacts,
    Evaluation,
    HeatmapRef,
    PartVerdict,
    Reason,
    Verdict,
    ViewVerdict,
)

__all__ = [
    "TOPIC_VERSION",
    "Accepted",
    "Counts",
    "DeviceFacts",
    "Evaluation",
    "Event",
    "Header",
    "HealthCondition",
    "HealthStatus",
    "Heartbeat",
    "HeatmapHeader",
    "HeatmapRef",
    "Kind",
    "Late",
    "PartVerdict",
    "Reason",
    "RecipeAck",
    "RecipeAction",
    "RecipeRefusal",
    "RecipeRefusalReason",
    "RecipeRequest",
    "RecipeState",
    "Refusal",
    "RefusalReason",
    "TriggerRequest",
    "Verdict",
    "ViewVerdict",
    "decode",
    "encode",
    "prefix",
    "topic",
]
