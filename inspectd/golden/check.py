"""A check with golden parts that is under way: what has to be shown, what was seen, how it ends. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from inspectd import text
from inspectd.config.settings import GoldenPart
from inspectd.golden.schedule import GoldenSubject
from inspectd.wire.golden import (
    GoldenAgreement,
    GoldenOutcome,
    GoldenRefusalReason,
    GoldenShowing,
    GoldenToShow,
    GoldenView,
)
from inspectd.wire.verdicts import Evaluation

SPARE_SHOWINGS: Final = 2
"""A part may be undecided this often beyond its repeats; once more, and the check has failed."""
LONGEST_PAUSE_NS: Final = 900_000_000_000
"""A check in which nothing is shown for so long is abandoned."""


class GoldenCheck:
    """One check of one subject. A part that disagrees fails it at once; the others may still be shown."""

    def __init__(
        self,
        name: str,
        subject: GoldenSubject,
        parts: Sequence[GoldenPart],
        judged: Sequence[str],
        *,
        who: str,
        now_ns: int,
    ) -> None:
        """Begin a check.

        Args:
            name: for its records.
            subject: what it proves something of.
            parts: every golden part of the line.
            judged: cameras, or regions as `CAMERA/REGION`, that judge by this recipe: those that must see a
                part which names none.
            who: who began it.
            now_ns: monotonic clock.

        Raises:
            ValueError: the recipe has no golden part, or no camera must see one: that would prove nothing.
        """
        self.name = name
        self.subject = subject
        self.who = who
        self.showings: list[GoldenShowing] = []
        self.is_ended = False
        """It was ended before all was shown."""
        self._cameras = {p.name: list(p.cameras or judged) for p in parts if p.recipe == subject.recipe}
        self._parts = {part.name: part for part in parts}
        self._active_ns = now_ns
        self._banks: dict[str, str] = {}
        if not self._cameras or not all(self._cameras.values()):
            raise ValueError(f"recipe {subject.recipe!r} has no golden part, or no camera that must see one")

    # --- showing ------------------------------------------------------------------------------------------

    def cameras(self, part: str) -> list[str]:
        """Cameras that must see one of its parts."""
        return self._cameras[part]

    def refusal(self, part: str) -> tuple[GoldenRefusalReason, str] | None:
        """Why a part may not be shown now, also for people; None: it may."""
        if part not in self._parts:
            known = ", ".join(self._cameras)
            return GoldenRefusalReason.UNKNOWN_PART, f"no golden part {part!r}, expected one of: {known}"
        if part not in self._cameras:
            return (
                GoldenRefusalReason.WRONG_RECIPE,
                f"{part} is of recipe {self._parts[part].recipe}, the check is of {self.subject.recipe}",
            )
        if self.is_over:
            return GoldenRefusalReason.NO_CHECK, "the check has ended; begin another one"
        if not self._times_left(part) or self._is_exhausted(part):
            return GoldenRefusalReason.SHOWN, f"{part} need not be shown any more in this check"
        return None

    def take(
        self,
        part: str,
        views: Sequence[GoldenView],
        judged_by: GoldenSubject,
        *,
        now_ns: int,
        utc_ns: int,
        trigger_id: str | None = None,
    ) -> GoldenShowing:
        """Take in what the cameras made of a part that `refusal` did not refuse when it was announced.

        Args:
            part: its name.
            views: all there are; only those of the cameras that must see it count.
            judged_by: what was in force when its frames were taken.
            now_ns: monotonic clock.
            utc_ns: wall clock.
            trigger_id: of the trigger that announced it.
        """
        declared, seen = self._parts[part], {view.camera: view for view in views}
        disagreed, undecided = [], []
        for camera in self._cameras[part]:
            problem = self._unjudged(seen.get(camera), judged_by)
            if problem:
                undecided.append(f"{part} on {camera}: {problem}")
            elif problem := _disagreement(declared, seen[camera]):
                disagreed.append(f"{part} on {camera}: {problem}")
        agreement = GoldenAgreement.AGREED
        if undecided or disagreed:
            agreement = GoldenAgreement.DISAGREED if disagreed else GoldenAgreement.UNDECIDED
        showing = GoldenShowing(
            part, utc_ns, Evaluation(declared.expect), declared.score_min, declared.score_max, agreement,
            [*disagreed, *undecided], [seen[c] for c in self._cameras[part] if c in seen], trigger_id,
        )  # fmt: skip
        self.showings.append(showing)
        self._active_ns = now_ns
        return showing

    # --- how it stands ------------------------------------------------------------------------------------

    @property
    def to_show(self) -> list[GoldenToShow]:
        """What is left, in the order of the settings."""
        return [
            GoldenToShow(part, self._times_left(part), cameras)
            for part, cameras in self._cameras.items()
            if self._times_left(part) and not self._is_exhausted(part)
        ]

    @property
    def problems(self) -> list[str]:
        """Why it failed, for people; empty unless it did."""
        found = [
            problem
            for showing in self.showings
            if showing.agreement is GoldenAgreement.DISAGREED
            for problem in showing.problems
        ]
        for part in self._cameras:
            if self._is_exhausted(part) and self._times_left(part):
                last = self._undecided(part)[-1]
                found.append(
                    f"{part}: undecided {SPARE_SHOWINGS + 1} times, so it is not shown again; the last time: "
                    f"{text.few(last.problems, 'problem')}"
                )
        return found

    @property
    def outcome(self) -> GoldenOutcome | None:
        """How it ended, or certainly will end; None: that is open."""
        if self.problems:
            return GoldenOutcome.FAILED
        if not self.to_show:
            return GoldenOutcome.PASSED
        return GoldenOutcome.ABANDONED if self.is_ended else None

    @property
    def is_over(self) -> bool:
        """Nothing more is to be shown."""
        return self.is_ended or not self.to_show

    def end(self) -> None:
        """End it before all was shown: it has failed if a part disagreed, and else changes nothing."""
        self.is_ended = True

    def turn(self, now_ns: int) -> None:
        """End it if nothing was shown for too long."""
        if now_ns >= self.wake_ns:
            self.end()

    @property
    def wake_ns(self) -> int:
        """When it is abandoned if nothing is shown."""
        return self._active_ns + LONGEST_PAUSE_NS

    # --- one part -----------------------------------------------------------------------------------------

    def _undecided(self, part: str) -> list[GoldenShowing]:
        return [s for s in self.showings if s.part == part and s.agreement is GoldenAgreement.UNDECIDED]

    def _times_left(self, part: str) -> int:
        """Showings that are still needed; undecided ones do not count."""
        decided = sum(s.part == part and s.agreement is not GoldenAgreement.UNDECIDED for s in self.showings)
        return max(0, self._parts[part].repeats - decided)

    def _is_exhausted(self, part: str) -> bool:
        return len(self._undecided(part)) > SPARE_SHOWINGS

    def _unjudged(self, view: GoldenView | None, judged_by: GoldenSubject) -> str | None:
        """Why a view says nothing of how the subject judges; None: it does."""
        if judged_by != self.subject:
            return f"judged by recipe {_named(judged_by)}, the check is of {_named(self.subject)}"
        if view is None:
            return "no frame of it"
        if view.evaluation is Evaluation.UNDECIDABLE:
            return f"undecidable ({view.reason})"
        if view.score is None or not math.isfinite(view.score) or view.bank_sha256 is None:
            return "a verdict without a score or a bank"
        first = self._banks.setdefault(view.camera, view.bank_sha256)
        if view.bank_sha256 != first:
            return f"judged by bank {view.bank_sha256[:12]}, earlier in this check by {first[:12]}"
        return None


def _disagreement(part: GoldenPart, view: GoldenView) -> str | None:
    """What of a view is not as declared, for people; None: all is."""
    score = view.score
    assert score is not None
    found = []
    if view.evaluation != part.expect:
        limit = "" if view.threshold is None else f" at threshold {view.threshold:.4g}"
        found.append(f"{view.evaluation} with score {score:.4g}{limit}, expected {part.expect}")
    if part.score_min is not None and score < part.score_min:
        found.append(f"score {score:.4g}, expected at least {part.score_min:.4g}")
    if part.score_max is not None and score > part.score_max:
        found.append(f"score {score:.4g}, expected at most {part.score_max:.4g}")
    return "; ".join(found) or None


def _named(subject: GoldenSubject) -> str:
    version = "" if subject.version is None else f"@{subject.version}"
    return f"{subject.recipe}{version} ({subject.sha256[:12] or 'no longer loaded'})"
