"""How well a line does its work, in the terms of NAMUR NE 107. Pure; `docs/wire.md` describes it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from inspectd.wire.verdicts import Int64


class HealthStatus(StrEnum):
    """A status signal of NE 107, the most severe last; `good` where none holds."""

    GOOD = "good"
    MAINTENANCE_REQUIRED = "maintenance_required"
    """Every part is judged; something has to be done all the same, and soon."""
    OUT_OF_SPECIFICATION = "out_of_specification"
    """Some parts get no judgement, or no record, because the line is used outside what it can do."""
    FUNCTION_CHECK = "function_check"
    """There are no verdicts for a time, as is meant: the line starts or ends."""
    FAILURE = "failure"
    """Of a camera, or of all of them, no part gets a judgement."""


SEVERITY: Final = {status: rank for rank, status in enumerate(HealthStatus)}


CONDITIONS: Final = {
    "scoring_down": HealthStatus.FAILURE,
    "camera_down": HealthStatus.FAILURE,
    "camera_settings_failed": HealthStatus.FAILURE,
    "golden_failed": HealthStatus.FAILURE,
    "golden_overdue": HealthStatus.FAILURE,
    "starting": HealthStatus.FUNCTION_CHECK,
    "stopping": HealthStatus.FUNCTION_CHECK,
    "camera_opening": HealthStatus.FUNCTION_CHECK,
    "too_fast": HealthStatus.OUT_OF_SPECIFICATION,
    "late": HealthStatus.OUT_OF_SPECIFICATION,
    "scoring_restarted": HealthStatus.OUT_OF_SPECIFICATION,
    "scoring_errors": HealthStatus.OUT_OF_SPECIFICATION,
    "bad_frames": HealthStatus.OUT_OF_SPECIFICATION,
    "wrong_format": HealthStatus.OUT_OF_SPECIFICATION,
    "missed_triggers": HealthStatus.OUT_OF_SPECIFICATION,
    "empty_triggers": HealthStatus.OUT_OF_SPECIFICATION,
    "triggers_refused": HealthStatus.OUT_OF_SPECIFICATION,
    "quality_exposure": HealthStatus.OUT_OF_SPECIFICATION,
    "quality_colour": HealthStatus.OUT_OF_SPECIFICATION,
    "quality_scene": HealthStatus.OUT_OF_SPECIFICATION,
    "quality_position": HealthStatus.OUT_OF_SPECIFICATION,
    "quality_focus": HealthStatus.OUT_OF_SPECIFICATION,
    "door_down": HealthStatus.OUT_OF_SPECIFICATION,
    "recipe_contradicted": HealthStatus.OUT_OF_SPECIFICATION,
    "journal_failed": HealthStatus.OUT_OF_SPECIFICATION,
    "drift_light": HealthStatus.MAINTENANCE_REQUIRED,
    "drift_focus": HealthStatus.MAINTENANCE_REQUIRED,
    "drift_position": HealthStatus.MAINTENANCE_REQUIRED,
    "drift_process": HealthStatus.MAINTENANCE_REQUIRED,
    "golden_due": HealthStatus.MAINTENANCE_REQUIRED,
    "golden_none": HealthStatus.MAINTENANCE_REQUIRED,
    "audit_failed": HealthStatus.MAINTENANCE_REQUIRED,
    "shadow_down": HealthStatus.MAINTENANCE_REQUIRED,
    "scoring_process_down": HealthStatus.MAINTENANCE_REQUIRED,
    "evidence_stopped": HealthStatus.MAINTENANCE_REQUIRED,
    "evidence_stuck": HealthStatus.MAINTENANCE_REQUIRED,
    "sockets_gone": HealthStatus.MAINTENANCE_REQUIRED,
    "door_shut": HealthStatus.MAINTENANCE_REQUIRED,
    "keys_unread": HealthStatus.MAINTENANCE_REQUIRED,
    "insecure": HealthStatus.MAINTENANCE_REQUIRED,
}
"""Every condition there is, and its status signal; it is a metric label."""


class HealthCondition(msgspec.Struct, frozen=True):
    """One reason why a line is not `good`."""

    status: str
    """A `HealthStatus`; later versions may know more."""
    condition: str
    """Its name: an entry of `docs/operations.md`."""
    detail: str
    """For people."""
    camera: str | None = None
    """None: it is the whole line's."""
    since_utc_ns: Int64 | None = None
    """Since when it holds without a break, in this run of the line; None: an earlier version, which does not
    say."""
