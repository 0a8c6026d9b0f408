"""Reasons as numbers, for plant software without texts. Pure; `docs/wire.md`, section 14, is the table.

**A number that was published never means anything else**: a reason that goes keeps its number, a new one
gets the next that is free.
"""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = 255
"""A reason that this version has no number for: as a rule that of a newer line."""

REASON_NUMBERS: Final = {
    "within_threshold": 1,
    "above_threshold": 2,
    "deadline": 3,
    "scoring_down": 4,
    "scoring_lost": 5,
    "scoring_error": 6,
    "frame_lost": 7,
    "overload": 8,
    "shutdown": 9,
    "restarted": 10,
    "black": 11,
    "frozen": 12,
    "partial": 13,
    "stale": 14,
    "format": 15,
    "missed_trigger": 16,
    "golden": 17,
    "golden_overdue": 18,
    "golden_failed": 19,
    "camera_settings": 20,
    "quality_exposure": 21,
    "quality_focus": 22,
    "quality_position": 23,
    "quality_scene": 24,
    "quality_colour": 25,
    "no_part": 26,
    "no_verdict": 200,
    "not_fetched": 201,
}
"""By `Reason`; those from 200 on are a gateway's own, and 0 means that there is no result."""

TRIGGER_REFUSAL_NUMBERS: Final = {
    "not_online": 1,
    "not_enabled": 2,
    "not_finished": 3,
    "part_id": 4,
    "no_answer": 5,
    "recipe_number": 6,
    "not_ready": 20,
    "unknown_recipe": 21,
    "unknown_camera": 22,
    "duplicate_id": 23,
    "overload": 24,
    "shutting_down": 25,
    "malformed": 26,
    "golden": 27,
    "other_line": 28,
}
"""By `RefusalReason`; those below 20 are a gateway's own, and 0 means that nothing was refused."""

COMMAND_REFUSAL_NUMBERS: Final = {
    "malformed": 40,
    "not_ready": 41,
    "busy": 42,
    "unknown": 43,
    "damaged": 44,
    "failed": 45,
    "not_prepared": 46,
    "in_force": 47,
    "no_shadow": 48,
    "not_recorded": 49,
    "other_line": 50,
    "not_before": 51,
    "unknown_command": 60,
    "no_answer": 61,
    "recipe_number": 62,
    "not_loaded": 63,
    "not_alive": 64,
    "golden_part": 65,
    "not_allowed": 66,
    "no_check": 67,
    "off": 68,
    "line_restarted": 69,
}
"""By `RecipeRefusalReason`, and of a golden check by `GoldenRefusalReason`; those from 60 on are others, 0
means that it was done."""


def reason_number(reason: str) -> int:
    """The number of a verdict's reason."""
    return REASON_NUMBERS.get(reason, UNKNOWN)


def trigger_refusal_number(reason: str) -> int:
    """The number of why a trigger was not taken."""
    return TRIGGER_REFUSAL_NUMBERS.get(reason, UNKNOWN)


def command_refusal_number(reason: str) -> int:
    """The number of why a command was not done."""
    return COMMAND_REFUSAL_NUMBERS.get(reason, UNKNOWN)
