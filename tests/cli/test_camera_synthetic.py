"""`inspectd camera synthetic`: a folder to teach and evaluate a bank without a camera or images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inspectd.cli import main
from inspectd.evaluation.dataset import read_dataset

LINE = """
[[recipes]]
name = "plate"
bank = "plate.safetensors"
[[cameras]]
kind = "synthetic"
name = "small"
recipe = "plate"
width = 96
height = 64
colour = false
defects = ["dent", "missing_hole"]
[[cameras]]
kind = "images"
name = "files"
recipe = "plate"
folder = "."
"""


@pytest.fixture
def asked(tmp_path):
    (tmp_path / "line.toml").write_text(LINE)

    def ask(*words, name="small"):
        config = ["--config", str(tmp_path / "line.toml")]
        return main(["camera", "synthetic", name, *config, "--out", str(tmp_path / "set"), *words])

    return ask


def test_the_folder_is_a_data_set_as_its_camera_shows_it(asked, tmp_path, capsys):
    assert asked("--images", "3", "--defects", "5") == 0
    assert "bank evaluate" in capsys.readouterr().out
    assert len(list((tmp_path / "set" / "train" / "good").iterdir())) == 3
    found = read_dataset(tmp_path / "set")
    assert not found.notes
    labels = [image.label for image in found.images]
    assert {label: labels.count(label) for label in labels} == {"good": 5, "dent": 3, "missing_hole": 2}
    for image in found.images:
        pixels = cv2.imread(str(image.path))
        assert pixels.shape == (64, 96, 3)
        assert (pixels == pixels[..., :1]).all()
        if image.defective:
            assert set(np.unique(cv2.imread(str(image.mask), cv2.IMREAD_UNCHANGED))) == {0, 255}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.toml", "set"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--images", "0"], "--images: got 0, expected 1 to 100000"),
        (["--seed", "-1"], "--seed: got -1, expected 0 to"),
    ],
)
def test_an_option_out_of_range_is_refused(asked, tmp_path, capsys, words, said):
    assert asked(*words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_another_kind_of_camera_is_refused(asked, capsys):
    assert asked(name="files") == 2
    assert "files: is another kind of camera" in capsys.readouterr().err


def test_a_folder_that_exists_is_left_as_it_is(asked, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    assert asked() == 2
    assert "already exists" in capsys.readouterr().err
    assert list((tmp_path / "set").iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(asked, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code = main(["camera", "synthetic", "--out", str(tmp_path / "file" / "set")])
    assert code in {2, 3}
    assert "Traceback" not in capsys.readouterr().err
