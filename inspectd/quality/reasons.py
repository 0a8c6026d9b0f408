"""What a frame is measured for, and the reason that each measure gives. The main process reads it: no cv2."""

from __future__ import annotations

from typing import Final

from inspectd.wire import Reason

REASONS: Final = {
    "dark_share": Reason.QUALITY_EXPOSURE,
    "bright_share": Reason.QUALITY_EXPOSURE,
    "faintest_quarter": Reason.QUALITY_SCENE,
    "blue_share": Reason.QUALITY_COLOUR,
    "red_share": Reason.QUALITY_COLOUR,
    "likeness": Reason.QUALITY_SCENE,
    "part_likeness": Reason.QUALITY_SCENE,
    "facing": Reason.QUALITY_SCENE,
    "grain": Reason.QUALITY_SCENE,
    "shift_x_px": Reason.QUALITY_POSITION,
    "shift_y_px": Reason.QUALITY_POSITION,
    "rotation_degrees": Reason.QUALITY_POSITION,
    "tint": Reason.QUALITY_COLOUR,
    "mean_grey": Reason.QUALITY_EXPOSURE,
    "unevenness": Reason.QUALITY_EXPOSURE,
    "fine_detail": Reason.QUALITY_FOCUS,
    "detail": Reason.QUALITY_FOCUS,
    "blocks": Reason.QUALITY_FOCUS,
}
"""Reason for each measure beyond its limit; of several, the first counts. What is missing or shows something
else has another mean grey too, and what shows something else lies nowhere; light alone does not change what a
picture is like."""
