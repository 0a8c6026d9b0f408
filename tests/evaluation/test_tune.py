from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.images import find_images
from inspectd.cli.bank_evaluate import EMPTY_MASKS, UNDECIDABLE
from inspectd.cli.bank_tune import _print_result
from inspectd.errors import InputError
from inspectd.evaluation.dataset import read_dataset
from inspectd.evaluation.plots import trade_off_svg
from inspectd.evaluation.tune import Limits, Sweep, Tuning, TuningTrial, choose, tune


def trial(auroc: float, latency_ms: float, bank_mb: float) -> TuningTrial:
    return TuningTrial("256x256", 0.04, 1, ("a", "b"), auroc, None, latency_ms, bank_mb)


TRIALS = [trial(0.95, 5, 2), trial(0.97, 9, 4), trial(0.9695, 7, 4), trial(0.96, 9, 5), trial(0.90, 4, 1)]


def test_pareto_points_are_those_nothing_beats() -> None:
    assert [t.pareto for t in choose(TRIALS, Limits()).trials] == [True, True, True, False, True]


def test_the_fastest_of_the_most_accurate_is_recommended() -> None:
    tuning = choose(TRIALS, Limits())
    assert tuning.recommended == 2
    assert "within 0.002 of the best (0.9700)" in tuning.reason


def test_limits_are_kept() -> None:
    assert choose(TRIALS, Limits(latency_ms=6)).recommended == 0
    assert choose(TRIALS, Limits(bank_mb=1.5)).recommended == 4
    with pytest.raises(InputError, match=r"the fastest takes 4\.0 ms, the smallest 1\.0 MB"):
        choose(TRIALS, Limits(latency_ms=1))


def test_what_says_less_than_it_seems_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    tuning = Tuning(TRIALS, 0, "", empty_masks=["black.png"], undecidable={"bright.png": "is too bright"})
    _print_result(tuning, BuildSpec())
    told = capsys.readouterr().out
    assert f"{EMPTY_MASKS} (1):\n  black.png\n" in told
    assert f"{UNDECIDABLE} (1):\n  bright.png: is too bright\n" in told


def test_a_small_sweep_for_real(good_folder: Path, mixed_folder: Path, tmp_path: Path) -> None:
    sweep = Sweep(sizes=[(64, 64)], coresets=[0.1, 50], neighbours=[1], layers=[("blocks.2", "blocks.4")])
    done: list[int] = []
    images = read_dataset(mixed_folder).images[15:25]
    cv2.imwrite(str(tmp_path / "nothing.png"), np.zeros((300, 300), np.uint8))
    images[0] = replace(images[0], mask=tmp_path / "nothing.png")
    tuning = tune(
        find_images(good_folder)[:12],
        images,
        BuildSpec(),
        sweep,
        device="cpu",
        limits=Limits(),
        progress=lambda _step, count, _total: done.append(count),
    )
    assert done == [0, 1, 2]
    assert [t.coreset for t in tuning.trials] == [0.1, 50]
    # Labelled images 20 to 24 are good ones, and the banks were built from them.
    assert [Path(path).name for path in tuning.from_the_bank] == [
        path.name for path in find_images(mixed_folder / "good")[:5]
    ]
    assert tuning.empty_masks == [str(images[0].path)]
    points = [(t.latency_ms, t.image_auroc, t.name()) for t in tuning.trials]
    assert trade_off_svg(points, [True, False], 0, "ms", "AUROC").count("<circle") == 2
