"""Imported models that turn bad at some pictures: whatever they do, no such part passes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper
from support.daemon import Daemon, camera_table
from support.foreign_models import SIDE, good_parts, imported_bank, written
from support.turning_models import Turn, marked, parts_and_marked, scaled, turning

from inspectd import cli
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.images import read_image
from inspectd.evaluation.dataset import LabelledImage
from inspectd.evaluation.evaluate import evaluate
from inspectd.records import NAN_SCORE

Capture = pytest.CaptureFixture[str]


def first_marked(folder: Path) -> np.ndarray:
    picture = read_image(folder / "good/00.png")
    assert picture is not None
    return marked(picture)


@pytest.mark.parametrize("judge", ["score", "map", "places"])
@pytest.mark.parametrize("turn", ["nan", "inf", "-inf"])
def test_what_is_not_finite_fails_by_every_path(turn: Turn, judge: str, tmp_path: Path) -> None:
    bank = imported_bank(tmp_path, turning(turn, "anomaly_map"), "--judge", judge)
    for backend in ("torch", "openvino"):
        scorer = Scorer.load(bank, "cpu", ScoringOptions(backend=backend))  # type: ignore[arg-type]
        (answer,) = scorer.score([first_marked(tmp_path)])
        assert answer.image_score == NAN_SCORE
        assert np.isfinite(answer.heatmap).all()


def test_maps_around_a_billion_are_judged_as_they_are_by_every_path(tmp_path: Path) -> None:
    """One backend once cut them off there, so that a defect scored far below good parts."""
    plain = imported_bank(tmp_path, scaled(1.0, 0.0), "--judge", "places")
    large = imported_bank(tmp_path, scaled(1e9, 5e9), "--judge", "places")
    picture = first_marked(tmp_path)
    (expected,) = Scorer.load(plain, "cpu").score([picture])
    for backend in ("torch", "openvino"):
        scorer = Scorer.load(large, "cpu", ScoringOptions(backend=backend))  # type: ignore[arg-type]
        assert scorer.score([picture])[0].image_score == pytest.approx(expected.image_score, rel=1e-2)
        assert scorer.score([picture])[0].image_score > scorer.info.threshold


def test_a_threshold_is_taken_from_no_score_that_is_not_finite(capsys: Capture, tmp_path: Path) -> None:
    bank = imported_bank(tmp_path, turning("nan"))
    before = bank.read_bytes()
    images = parts_and_marked(tmp_path / "calibrated", 4, 20)
    capsys.readouterr()
    command = ["bank", "calibrate", str(bank), "--images", str(images), "--false-reject-rate", "0.2"]
    assert cli.main([*command, "--keep-outliers"]) == 2
    assert "20 of 24 good images have no finite score" in capsys.readouterr().err
    assert bank.read_bytes() == before


def test_a_model_that_is_not_finite_where_it_should_fail_is_blind(capsys: Capture, tmp_path: Path) -> None:
    """It says the same of everything else."""
    model = turning("nan", fewest=SIDE * SIDE * 3)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.01), "most_of_all"))
    scored = next(node for node in model.graph.node if "usual_pred_score" in node.output)
    scored.output[0] = "free"
    at = list(model.graph.node).index(scored) + 1
    model.graph.node.insert(at, helper.make_node("Min", ["free", "most_of_all"], ["usual_pred_score"]))
    path, images = written(model, tmp_path / "x.onnx"), good_parts(tmp_path / "good")
    given = ["bank", "import", path, "--images", images, "--out", tmp_path / "x.bank"]
    assert cli.main([str(word) for word in [*given, "--preprocessing", "anomalib"]]) == 2
    assert "no picture scores above the threshold 0.01" in capsys.readouterr().err


def test_a_picture_at_which_a_model_fails_is_one_clear_line(capsys: Capture, tmp_path: Path) -> None:
    bank = imported_bank(tmp_path, turning("error"))
    parts_and_marked(tmp_path / "data/test/good", 4, 0)
    parts_and_marked(tmp_path / "data/test/spot", 0, 4)
    capsys.readouterr()
    assert cli.main(["bank", "evaluate", str(bank), "--data", str(tmp_path / "data")]) == 1
    assert "the bank's model fails at this picture: ScatterElementsUpdate" in capsys.readouterr().err


@pytest.mark.parametrize("turn", ["nan", "error", "crash"])
def test_no_marked_part_passes_in_the_daemon(
    start_real_daemon: Callable[[str], Daemon], turn: Turn, tmp_path: Path
) -> None:
    bank = imported_bank(tmp_path, turning(turn))
    parts = parts_and_marked(tmp_path / "parts", 8, 3)
    text = '[line]\nplant = "test"\nname = "line"\ndeadline_ms = 10000\n\n[metrics]\nport = 0\n\n'
    text += f'[[recipes]]\nname = "turning"\nbank = "{bank}"\n\n'
    text += camera_table("cam", parts, fps=5, loop=False, recipe="turning")
    daemon = start_real_daemon(text)
    daemon.until(lambda: daemon.phases() == ["ended"] and len(daemon.reader.verdicts) == 11, 60)
    assert daemon.stop() == 0
    of_good = [v for v in daemon.reader.verdicts if v.source.startswith("good")]
    others = {(v.evaluation, v.reason) for v in daemon.reader.verdicts if v.source.startswith("marked")}
    if turn == "nan":
        assert others == {("fail", "above_threshold")}
    else:
        assert {evaluation for evaluation, _ in others} == {"undecidable"}
        assert {reason for _, reason in others} <= {"scoring_lost", "scoring_down"}
    images = [LabelledImage(path, path.name[:4]) for path in sorted(parts.iterdir())]
    if turn == "nan":
        told = {j.image.path.name: j.score for j in evaluate(bank, images, "cpu", lambda *_: None).judged}
        assert {v.source: v.score for v in of_good} == {v.source: told[v.source] for v in of_good}
    assert "pass" in {v.evaluation for v in of_good}
