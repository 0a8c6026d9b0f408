"""Slow change is told of every place, whatever recipes judge there."""

import pytest

from inspectd.drift_watch import DriftWatch
from inspectd.metrics import Metrics
from inspectd.records import BankInForce, FrameRef, Inspection, MeasureLimit, Measures, Outcome
from inspectd.wire import Evaluation, Reason

SECOND_NS = 1_000_000_000


class Line:
    """Frames of one camera, whose mean grey is what its banks' good images have, or near a limit."""

    def __init__(self):
        self.events = []
        self.metrics = Metrics("line", ["cam"], 500)
        self.watch = DriftWatch(self.metrics, lambda _severity, name, **_: self.events.append(name))
        limits = [MeasureLimit(usual, usual - 20, usual + 20) for usual in (100.0, 110.0)]
        self.watch.use_banks(
            [
                BankInForce(key, "", "", "", 1, 1, 1.0, limits={"mean_grey": limit})
                for key, limit in zip("ab", limits, strict=True)
            ]
        )
        self.now_ns = 0

    def level(self, cause):
        labels = {"line": "line", "camera": "cam", "cause": cause}
        return self.metrics.registry.get_sample_value("inspectd_drift_share", labels)

    def judge(self, recipes, mean_grey=84.0):
        for recipe in recipes:
            self.now_ns += SECOND_NS
            frame = FrameRef("cam", 1, 0, 1, 0, 0, 48, 64)
            self.watch.on_verdict(
                Inspection(1, frame, recipe, 0, 1),
                Outcome(
                    Evaluation.PASS, Reason.WITHIN_THRESHOLD, self.now_ns, 1.0,
                    measures=Measures(mean_grey=mean_grey),
                ),
            )  # fmt: skip
            self.watch.watch()


@pytest.mark.parametrize("recipes", ["ab" * 200, ("a" * 40 + "b") * 10, "a" * 300 + "ba"])
def test_a_drift_is_told_once_where_recipes_judge_by_turns(recipes):
    line = Line()
    line.judge(recipes)
    assert line.events == ["drift"]
    assert line.watch.shares("cam")["light"] >= 0.8


def test_a_recipe_that_judges_no_more_holds_no_drift_for_ever():
    line = Line()
    line.judge("b" * 100)
    line.judge("a" * 999, mean_grey=100.0)
    assert line.events == ["drift"]
    line.judge("a", mean_grey=100.0)
    assert line.events == ["drift", "drift_over"]


def test_after_a_change_of_recipe_it_begins_anew_and_after_a_reload_goes_on():
    line = Line()
    line.judge("a" * 100)
    line.watch.use_recipes(["a#2", "b#2"])
    line.judge("b")
    assert line.events == ["drift"]
    line.watch.use_recipes(["b#3"])
    line.judge("b")
    assert line.events == ["drift", "drift_over"]
    assert line.level("light") == 0


def test_a_recipe_whose_bank_knows_no_such_limit_leaves_no_level_of_the_one_before():
    line = Line()
    line.judge("a" * 100)
    assert line.level("light") >= 0.8
    line.watch.use_recipes(["c#2"])
    line.judge("c")
    assert line.level("light") == 0
