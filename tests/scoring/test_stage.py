"""The main process's side of scoring."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from inspectd.config import Config, ImagesCamera, Recipe
from inspectd.ipc.channel import ContradictionError
from inspectd.records import BankInForce, Pace
from inspectd.scoring.messages import ScoringReady
from inspectd.scoring.stage import ScoringStage


class Events:
    def __init__(self) -> None:
        self.ready: list[ScoringReady] = []

    def on_scoring_ready(self, ready: ScoringReady) -> None:
        self.ready.append(ready)

    def rings(self) -> list:
        return []


def ready(*recipes: str) -> ScoringReady:
    banks = [BankInForce(name, "ab", "patchcore", "none", 1, 1, 8, 8, 1.0) for name in recipes]
    return ScoringReady(banks, [], "cpu", 0.1)


def test_a_process_that_loaded_other_recipes_than_the_lines_is_not_believed(tmp_path: Path) -> None:
    camera = ImagesCamera(name="c", recipe="a", folder=str(tmp_path))
    config = Config(cameras=(camera,), recipes=tuple(Recipe(name=name, bank="x.bank") for name in "ab"))
    events = Events()
    stage = ScoringStage(config, events)
    for wrong in (ready("a"), ready("a", "b", "c"), ready()):
        with pytest.raises(ContradictionError, match=r"expected \['a', 'b'\]"):
            stage.received(wrong, [], 0)
    assert stage.ready is None
    stage.received(ready("b", "a"), [], 0)
    assert len(events.ready) == 1


@pytest.mark.parametrize("wrong_ms", [0.0, -1.0, math.inf, math.nan])
def test_a_time_that_no_plan_can_be_made_with_is_not_believed(tmp_path: Path, wrong_ms: float) -> None:
    camera = ImagesCamera(name="c", recipe="a", folder=str(tmp_path))
    stage = ScoringStage(Config(cameras=(camera,), recipes=(Recipe(name="a", bank="x.bank"),)), Events())
    for pace in (Pace("a", wrong_ms, 1.0), Pace("a", 1.0, wrong_ms)):
        with pytest.raises(ContradictionError, match=r"expected some time"):
            stage.received(msgspec.structs.replace(ready("a"), paces=[pace]), [], 0)
    assert stage.ready is None
