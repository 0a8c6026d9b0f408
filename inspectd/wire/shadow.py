"""What a shadow recipe makes of frames: published for comparison, and no judgement. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from inspectd.wire.verdicts import Evaluation, Int64, Number


class ShadowScore(msgspec.Struct, frozen=True, tag_field="schema", tag="shadow/1"):
    """The score that a shadow gave a frame, beside what the line's verdict says. No gate may act on it."""

    plant: str
    line: str
    camera: str
    epoch: Number
    seq: Number
    """Of the verdict on the same frame, as the next."""
    inspection_id: int
    trigger_id: str | None
    part_id: str | None
    recipe: str
    """The shadow, as all that follows."""
    recipe_version: int | None
    bank_sha256: str
    score: float | None
    """None where it is not finite, as the threshold then."""
    threshold: float | None
    evaluation: Evaluation
    """What the verdict would be by the shadow."""
    behind_ms: float
    """From the verdict to this score."""
    verdict: Evaluation
    """The verdict of the recipe in force."""
    verdict_score: float
    verdict_threshold: float
    region: str | None = None


class ShadowState(StrEnum):
    """State of a shadow."""

    LOADING = "loading"
    RUNNING = "running"
    DOWN = "down"
    """Its process is gone and starts anew."""
    FAILED = "failed"
    """It could not be loaded, and is not tried again."""


class ShadowResult(StrEnum):
    """Fate of a frame that a shadow might have scored. A closed set: it is a metric label."""

    SCORED = "scored"
    BUSY = "busy"
    """It was left out: parts waited for scoring, slots were short, or the shadow still had others."""
    GIVEN_BACK = "given_back"
    """Its slot went back to the camera before the shadow came to it."""
    FORMAT = "format"
    """It has another size or bit depth than the images of the shadow's bank."""
    OTHER_RECIPE = "other_recipe"
    """It was judged by another product's recipe."""
    CAMERA_SETTINGS = "camera_settings"
    """It was taken with another exposure or gain than the shadow needs."""
    DOWN = "down"
    """The shadow's process was not there, or died with it."""
    QUALITY = "quality"
    """It is not like the good images of the shadow's bank, which would not judge it."""
    ERROR = "error"
    """It could not be scored."""


UNJUDGED: Final = (ShadowResult.FORMAT, ShadowResult.QUALITY)
"""Frames whose parts would be undecidable, were the shadow in force; so are those with a score not finite."""


class ShadowStatus(msgspec.Struct, frozen=True):
    """A shadow since it began, or since the line's start."""

    recipe: str
    """`ID@VERSION`."""
    against: str
    """What was in force when it began."""
    since_utc_ns: Int64
    state: str
    """A `ShadowState`."""
    detail: str
    """Why it is down or failed; else empty."""
    frames: dict[str, int]
    """Frames by a `ShadowResult`."""
    to_fail: int
    """Passes that it would have failed."""
    to_pass: int
    """Fails that it would have passed."""
    undecidable: int
    """Its scores that are not finite."""
    shares: dict[str, float]
    """Quantiles (`p50`, `p95`, `p99`) of its last 1,000 scores, as shares of its threshold."""
    verdict_shares: dict[str, float]
    """The same of the verdicts on these frames, by theirs."""
    behind_ms: dict[str, float]
    """Quantiles of the time from a verdict to its score of the same frame."""

    @property
    def unjudged(self) -> int:
        """Frames that it would not judge: their parts would be undecidable."""
        return self.undecidable + sum(self.frames.get(result, 0) for result in UNJUDGED)
