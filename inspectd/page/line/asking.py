"""What the page asks a line for: recipes and checks with golden parts, and never a part."""

from __future__ import annotations

import secrets
from typing import Any

from inspectd.client import RecipeAck, RecipeAction, RecipeRefusal, RecipeRequest, ask_recipe
from inspectd.client.golden import GoldenAsker
from inspectd.page.settings import PageLine
from inspectd.page.told_pages import ToldGoldenCheck
from inspectd.wire.golden import GoldenAck, GoldenAction, GoldenAnswer, GoldenRefusal

_SECONDS = 5.0


class RefusedError(Exception):
    """The line does not do what it was asked for: nothing changed.

    Attributes:
        reason: one word.
        detail: for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """With the line's own reason."""
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class LineAsker:
    """Asks the line in a person's name; each call waits for the answer, so it belongs into a thread.

    Args:
        line: where it is.
    """

    def __init__(self, line: PageLine) -> None:
        self._control, self._keys = line.endpoint("control"), line.keys
        # The line itself says whether it is meant: another one does nothing.
        self._line = f"{line.plant}/{line.name}"

    def ask_recipe(
        self, action: RecipeAction, recipe: str, version: int | None, who: str, why: str
    ) -> dict[str, Any]:
        """Have a recipe prepared, put in force, or unloaded.

        Raises:
            RefusedError: the line refuses.
            InputError: the endpoint or a key file cannot be used.
            UnavailableError: the line does not answer; it may have done it all the same.
        """
        # Over TCP the key's name stands for who asks: the person is named beside the reason.
        why = f"{who}: {why}" if self._keys is not None else why
        request = RecipeRequest(
            secrets.token_hex(8), action, recipe, version, who[:64], why[:200], self._line
        )
        answer: RecipeAck | RecipeRefusal = ask_recipe(self._control, request, self._keys, _SECONDS)
        if isinstance(answer, RecipeRefusal):
            raise RefusedError(answer.reason, answer.detail)
        return {
            "recipe": answer.recipe, "version": answer.version, "number": answer.number,
            "state": answer.state, "before": answer.before,
            "in_force_ms": None if answer.in_force_utc_ns is None else answer.in_force_utc_ns // 1_000_000,
        }  # fmt: skip

    def ask_golden(
        self, action: GoldenAction, who: str, *, recipe: str | None = None, part: str | None = None
    ) -> ToldGoldenCheck:
        """Begin or end a check, say which golden part lies before the cameras, or ask how it stands.

        Raises:
            RefusedError: the line refuses.
            InputError: the endpoint or a key file cannot be used.
            UnavailableError: the line does not answer.
        """
        with GoldenAsker(self._control, who=who[:64], line=self._line, keys=self._keys) as asker:
            answer: GoldenAnswer = asker.ask(action, recipe=recipe, part=part, timeout_seconds=_SECONDS)
        if isinstance(answer, GoldenRefusal):
            raise RefusedError(answer.reason, answer.detail)
        return _shown_check(answer)


def _shown_check(answer: GoldenAck) -> ToldGoldenCheck:
    last = answer.last
    return {
        "check": answer.check,
        "recipe": answer.recipe,
        "who": answer.who,
        "outcome": answer.outcome,
        "problems": answer.problems,
        "to_show": answer.to_show,
        "shown": answer.shown,
        "triggered": answer.triggered,
        "last": None if last is None else {
            "part": last.part, "ms": last.utc_ns // 1_000_000, "expect": last.expect,
            "score_min": last.score_min, "score_max": last.score_max, "agreement": last.agreement,
            "problems": last.problems,
            "views": [
                {
                    "camera": view.camera, "verdict": view.evaluation, "reason": view.reason,
                    "score": view.score, "threshold": view.threshold,
                }
                for view in last.views
            ],
        },
    }  # fmt: skip
