"""Banks of models that were trained elsewhere: imported, scored by every path, compared, in the daemon."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import helper
from support.daemon import Daemon, camera_table
from support.foreign_models import (
    SIDE,
    broken_part,
    expected_map,
    good_parts,
    spot_model,
    with_weights_outside,
    written,
)

from inspectd import cli
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.answers import scores_that_count
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import GOOD_SCORES, IMAGE_PARTS, ONNX, read_bank
from inspectd.bank.images import find_images, read_image
from inspectd.bank.threshold import default_threshold
from inspectd.model.imported import Imported
from inspectd.model.options import ImportedOptions
from inspectd.records import NAN_SCORE

Done = tuple[int, str, str]


@pytest.fixture
def bank_import(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Done]:
    """Imports a model with 20 good parts, and says how that ended."""
    images = good_parts(tmp_path / "good")

    def run(model: Path, *words: object, out: str = "x.bank") -> Done:
        command = ["bank", "import", model, "--images", images, "--out", tmp_path / out, *words]
        code = cli.main([str(word) for word in command])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def spot_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of `spot_model`."""
    folder = tmp_path_factory.mktemp("spots")
    path, images = written(spot_model(), folder / "x.onnx"), good_parts(folder / "good")
    words = ["bank", "import", path, "--images", images, "--out", folder / "x.bank", *PREPROCESSED]
    assert cli.main([str(word) for word in words]) == 0
    return folder / "x.bank"


PREPROCESSED = ("--preprocessing", "anomalib")


@pytest.mark.parametrize("kind", ["onnx", "xml"])
def test_an_imported_model_gives_its_own_scores(
    kind: str, bank_import: Callable[..., Done], tmp_path: Path
) -> None:
    path = written(spot_model(), tmp_path / "x.onnx")
    if kind == "xml":
        openvino.save_model(openvino.convert_model(path), tmp_path / "x.xml", compress_to_fp16=False)
    code, out, err = bank_import(tmp_path / f"x.{kind}", *PREPROCESSED)
    assert code == 0, err
    assert "judged by: score" in out
    assert "trained on none of these images" in out
    part = broken_part()
    expected = expected_map(part)
    for backend in ("torch", "openvino"):
        scorer = Scorer.load(tmp_path / "x.bank", "cpu", ScoringOptions(backend=backend))  # type: ignore[arg-type]
        (answer,) = scorer.score([part])
        assert answer.image_score == pytest.approx(expected.max(), rel=1e-4)
        np.testing.assert_allclose(answer.heatmap, expected, rtol=2e-3, atol=1e-3)
        assert answer.image_score > scorer.info.threshold
    bank = read_bank(tmp_path / "x.bank")
    good = read_image(tmp_path / "good/00.png")
    assert good is not None
    assert np.isclose(bank.tensors[GOOD_SCORES], expected_map(good).max(), rtol=1e-4).any()
    assert (bank.manifest.detector, bank.manifest.layers) == ("imported", ("anomaly_map", "pred_score"))


def test_weights_in_another_file_come_into_the_bank(bank_import: Callable[..., Done], tmp_path: Path) -> None:
    path = with_weights_outside(written(spot_model(), tmp_path / "x.onnx"))
    assert "named with --weights" in bank_import(path, *PREPROCESSED)[2]
    assert not (tmp_path / "x.bank").exists()
    done = bank_import(path, *PREPROCESSED, "--weights", tmp_path / "weights.data", "--keep-onnx")
    assert done[0] == 0, done
    kept = onnx.load_model_from_string(read_bank(tmp_path / "x.bank").tensors[ONNX].tobytes())
    assert not kept.graph.initializer[0].external_data


def test_preprocessing_that_nobody_states_is_refused(
    bank_import: Callable[..., Done], tmp_path: Path
) -> None:
    path = written(spot_model(), tmp_path / "x.onnx")
    code, _, err = bank_import(path)
    assert code == 2
    assert (
        "does not say how pictures are brought to it: expected --colours, --scale, --mean, --deviation" in err
    )
    done = bank_import(
        path, "--colours", "bgr", "--scale", 1, "--mean", 0, "--deviation", "255,255,255", "--json"
    )
    assert json.loads(done[1])["options"]["colours"] == "bgr"
    (answer,) = Scorer.load(tmp_path / "x.bank", "cpu").score([broken_part()])
    assert answer.image_score == pytest.approx(expected_map(broken_part()).max(), rel=1e-4)
    assert "expected 1 or 3 numbers" in bank_import(path, *PREPROCESSED, "--mean", "1,2")[2]
    assert "takes 3 channels" in bank_import(path, *PREPROCESSED, "--colours", "grey")[2]


def test_pictures_of_one_part_count_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, images = written(spot_model(), tmp_path / "x.onnx"), good_parts(tmp_path / "good", 64)
    for number, path in enumerate(sorted(images.iterdir())):
        path.rename(images / f"part{number // 2}_{number % 2}.png")
    words = ["bank", "import", model, "--images", images, "--out", tmp_path / "x.bank", *PREPROCESSED]
    assert cli.main([str(word) for word in [*words, "--parts", "^(.*)_"]]) == 0
    out = capsys.readouterr().out
    assert "not chosen: 32 images of one part each" in out
    assert "parts: 32, as --parts names them" in out
    bank = read_bank(tmp_path / "x.bank")
    assert len(np.unique(bank.tensors[IMAGE_PARTS])) == 32
    counted = scores_that_count(bank)
    assert len(counted) <= 32
    assert bank.manifest.threshold == default_threshold(counted)[0]
    assert cli.main([str(word) for word in [*words, "--parts", "^(none)"]]) == 2
    assert "--parts: '^(none)' finds no part in 'part0_0.png'" in capsys.readouterr().err


def test_what_does_not_fit_is_said_before_the_model_is_read(
    bank_import: Callable[..., Done], tmp_path: Path
) -> None:
    path = written(spot_model(), tmp_path / "x.onnx")
    code, _, err = bank_import(tmp_path / "good", *PREPROCESSED)
    assert (code, "good: is a folder, expected a file .onnx" in err) == (2, True)
    code, _, err = bank_import(path, *PREPROCESSED, "--weights", tmp_path / "none.data")
    assert (code, "none.data is no file; leave it out" in err) == (2, True)
    grey = written(spot_model(channels=1), tmp_path / "grey.onnx")
    code, _, err = bank_import(grey, "--preprocessing", "imagenet")
    assert (code, "--preprocessing imagenet, its mean: got (0.485, 0.456, 0.406), model" in err) == (2, True)
    assert "takes 1 channel: expected 1 number, as --mean" in err


def test_scores_that_fall_with_defects_are_named_as_such(
    spot_bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good_parts(tmp_path / "spots")
    (tmp_path / "good").mkdir()
    assert cv2.imwrite(str(tmp_path / "good" / "1.png"), broken_part())
    for folder, is_told in ((tmp_path, True), (tmp_path / "right", False)):
        assert cli.main(["bank", "evaluate", str(spot_bank), "--data", str(folder)]) == 0
        assert ("--lower-is-worse" in capsys.readouterr().out) is is_told
        if is_told:
            good_parts(tmp_path / "right" / "good")
            (tmp_path / "right" / "spots").mkdir()
            assert cv2.imwrite(str(tmp_path / "right" / "spots" / "1.png"), broken_part())


def test_preprocessing_of_the_models_own_metadata(bank_import: Callable[..., Done], tmp_path: Path) -> None:
    model = spot_model()
    helper.set_model_props(
        model, {"model_info scale_values": "255 255 255", "model_info mean_values": "0 0 0"}
    )
    path = written(model, tmp_path / "x.onnx")
    assert "expected --colours, or" in bank_import(path)[2]
    assert bank_import(path, "--colours", "rgb")[0] == 0
    (answer,) = Scorer.load(tmp_path / "x.bank", "cpu").score([broken_part()])
    assert answer.image_score == pytest.approx(expected_map(broken_part()).max(), rel=1e-4)


def test_a_crop_is_the_centre(bank_import: Callable[..., Done], tmp_path: Path) -> None:
    path = written(spot_model(side=24), tmp_path / "x.onnx")
    assert bank_import(path, *PREPROCESSED, "--size", SIDE, "--crop", 24)[0] == 0
    frame = broken_part()
    (answer,) = Scorer.load(tmp_path / "x.bank", "cpu").score([frame])
    assert answer.image_score == pytest.approx(expected_map(frame[4:28, 4:28]).max(), rel=1e-4)


@pytest.mark.parametrize("judge", ["map", "places"])
def test_the_map_can_be_judged_in_place_of_the_score(
    judge: str, bank_import: Callable[..., Done], tmp_path: Path
) -> None:
    path = written(spot_model(), tmp_path / "x.onnx")
    assert bank_import(path, *PREPROCESSED, "--judge", judge)[0] == 0
    answers = [
        Scorer.load(tmp_path / "x.bank", "cpu", ScoringOptions(backend=backend)).score([broken_part()])[0]  # type: ignore[arg-type]
        for backend in ("torch", "openvino")
    ]
    assert answers[0].image_score == pytest.approx(answers[1].image_score, rel=1e-3)
    highest = expected_map(broken_part()).max()
    assert (answers[0].image_score == pytest.approx(highest, rel=1e-4)) == (judge == "map")


def test_what_makes_the_score_is_chosen_by_synthetic_defects(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images, path = good_parts(tmp_path / "many", 60), written(spot_model(), tmp_path / "x.onnx")
    words = ["bank", "import", path, "--images", images, "--out", tmp_path / "x.bank", *PREPROCESSED]
    assert cli.main([str(word) for word in words]) == 0
    choice = read_bank(tmp_path / "x.bank").manifest.settings_choice
    assert choice is not None
    assert [trial.name for trial in choice.trials] == ["score", "map", "places"]
    written(spot_model(outputs=["pred_score"]), path)
    assert cli.main([str(word) for word in [*words, "--lower-is-worse"]]) == 2
    assert "synthetic defects score lower than good images" in capsys.readouterr().err


def cut_off() -> Any:
    """A model whose score cannot rise above 0.01, as a normalised one cannot rise above 1."""
    model = spot_model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.01), "most"))
    model.graph.node[-1].output[0] = "free"
    model.graph.node.append(helper.make_node("Min", ["free", "most"], ["pred_score"]))
    return model


def test_a_bank_records_what_pictures_unlike_good_parts_score(spot_bank: Path) -> None:
    manifest = read_bank(spot_bank).manifest
    assert manifest.highest_odd is not None
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    (seen,) = Scorer.load(spot_bank, "cpu").score([noise])
    assert manifest.highest_odd >= seen.image_score * (1 - 1e-3) > manifest.threshold


def test_a_model_under_which_no_part_could_fail_is_refused(
    bank_import: Callable[..., Done], tmp_path: Path
) -> None:
    code, _, err = bank_import(written(cut_off(), tmp_path / "x.onnx"), *PREPROCESSED)
    assert code == 2
    assert "no picture scores above the threshold 0.01" in err
    assert not (tmp_path / "x.bank").exists()


def of_logarithms(least: float) -> Any:
    """A model that gives NaN where a place differs from those around it by far."""
    model = spot_model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(least), "least"))
    model.graph.node[1].output[0] = "differs"
    model.graph.node.insert(2, helper.make_node("Sub", ["least", "differs"], ["room"]))
    model.graph.node.insert(3, helper.make_node("Log", ["room"], ["logarithm"]))
    model.graph.node.insert(4, helper.make_node("Neg", ["logarithm"], ["anomaly_map"]))
    return model


def test_outputs_that_are_not_finite_fail(bank_import: Callable[..., Done], tmp_path: Path) -> None:
    path = written(of_logarithms(0.01), tmp_path / "x.onnx")
    assert (
        "20 of 20 good images make the model give values that are not finite"
        in bank_import(path, *PREPROCESSED)[2]
    )
    code, _, err = bank_import(written(of_logarithms(0.5), path), *PREPROCESSED, "--judge", "map")
    assert code == 0, err
    spot = np.zeros_like(broken_part())
    spot[8:11, 8:11] = 255
    for backend in ("torch", "openvino"):
        scorer = Scorer.load(tmp_path / "x.bank", "cpu", ScoringOptions(backend=backend))  # type: ignore[arg-type]
        assert scorer.score([spot])[0].image_score == NAN_SCORE


def test_a_map_larger_than_the_grid_keeps_its_highest_places(
    bank_import: Callable[..., Done], tmp_path: Path
) -> None:
    path = written(spot_model(side=150), tmp_path / "x.onnx")
    assert bank_import(path, *PREPROCESSED)[0] == 0
    frame = cv2.resize(broken_part(), (150, 150), interpolation=cv2.INTER_NEAREST)
    (answer,) = Scorer.load(tmp_path / "x.bank", "cpu").score([frame])
    assert answer.heatmap.shape == (50, 50)
    assert answer.image_score == pytest.approx(expected_map(frame).max(), rel=1e-4)
    blocks = expected_map(frame).reshape(50, 3, 50, 3).max(axis=(1, 3))
    np.testing.assert_allclose(answer.heatmap, blocks, rtol=2e-3, atol=1e-3)


def cropping() -> Any:
    """A model that looks at the middle 16 x 16 pixels alone."""
    model = spot_model()
    for name, value in (("begin", 8), ("end", 24)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value] * 2, np.int64), name))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    model.graph.node[0].input[0] = "middle"
    model.graph.node.insert(0, helper.make_node("Slice", ["input", "begin", "end", "axes"], ["middle"]))
    for side in (2, 3):
        model.graph.output[0].type.tensor_type.shape.dim[side].dim_value = 16
    return model


def test_what_a_model_does_not_look_at_is_said(bank_import: Callable[..., Done], tmp_path: Path) -> None:
    path = written(cropping(), tmp_path / "x.onnx")
    fields = json.loads(bank_import(path, *PREPROCESSED, "--json")[1])["unseen_fields"]
    assert np.array_equal(fields, np.pad(np.zeros((4, 4), bool), 2, constant_values=True))


def test_the_map_is_moved_until_its_highest_place_has_the_score() -> None:
    options = ImportedOptions(map_output="map", score_output="score")
    features = torch.tensor([[[[1.0, 9.0], [3.0, 9.0]]], [[[1.0, 9.0], [torch.inf, 9.0]]]])
    maps = Imported(options).score_maps(features)
    assert maps[0].tolist() == [[7.0, 9.0]]
    assert maps[1].isnan().all()


def test_what_learns_of_images_is_refused_with_a_way_out(
    spot_bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = str(spot_bank.parent / "good")
    assert cli.main(["bank", "convert", str(spot_bank), "--precision", "bfloat16", "--images", images]) == 2
    assert "learns of no image: import it again" in capsys.readouterr().err


def test_banks_of_different_kinds_are_compared(
    spot_bank: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images = find_images(good_parts(tmp_path / "good", 12))
    build_bank(images, tmp_path / "y.bank", BuildSpec(detector="padim", height=32, width=32), lambda *_: None)
    good_parts(tmp_path / "test/good", 6)
    (tmp_path / "test/spot").mkdir()
    for shift in range(4):
        part = np.roll(broken_part(), shift, axis=1)
        assert cv2.imwrite(str(tmp_path / f"test/spot/{shift}.png"), part)
    banks = [spot_bank, tmp_path / "y.bank"]
    words = [
        "bank",
        "compare",
        *banks,
        "--data",
        tmp_path / "test",
        "--report",
        tmp_path / "r.html",
        "--json",
    ]
    assert cli.main([str(word) for word in words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [figures["detector"] for figures in told.values()] == ["imported", "padim"]
    assert all(figures["memory_mb"] > 50 for figures in told.values())
    assert told[str(spot_bank)]["found_at_budget"]["share"] == 1.0
    page = (tmp_path / "r.html").read_text()
    assert "AUPRO" in page
    assert "Defects that some pass" in page


def test_the_daemon_gives_its_scores(
    start_real_daemon: Callable[[str], Daemon], spot_bank: Path, tmp_path: Path
) -> None:
    parts = good_parts(tmp_path / "parts")
    for shift, path in enumerate(sorted(parts.iterdir())):
        picture = cv2.imread(str(path))
        assert picture is not None
        picture[8:11, shift : shift + 3] = 250
        assert cv2.imwrite(str(path), picture)
    settings = '[line]\nplant = "test"\nname = "line"\ndeadline_ms = 10000\n\n[metrics]\nport = 0\n\n'
    settings += f'[[recipes]]\nname = "spots"\nbank = "{spot_bank}"\n\n'
    settings += camera_table("cam", parts, fps=10, loop=False, recipe="spots")
    daemon = start_real_daemon(settings)
    daemon.until(lambda: daemon.phases() == ["ended"], 60)
    assert daemon.stop() == 0
    scored = {v.source: v.score for v in daemon.reader.verdicts if v.score is not None}
    assert len(scored) > 10, {(v.evaluation, v.reason) for v in daemon.reader.verdicts}
    for source, score in scored.items():
        frame = read_image(parts / source)
        assert frame is not None
        assert score == pytest.approx(expected_map(frame).max(), rel=1e-4)
    assert {v.evaluation for v in daemon.reader.verdicts if v.score is not None} == {"fail"}
