"""`inspectd camera preview` and `inspectd camera calibrate`: pictures for people, and files for the line."""

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support import chessboard
from support.banks import bank_of
from support.daemon import camera_table, settings
from support.pictures import write_images

from inspectd.bank.file import write_bank
from inspectd.capture.geometry.calibration import read_calibration
from inspectd.capture.geometry.picture import read_geometry
from inspectd.cli import main
from inspectd.config import GeometrySettings
from inspectd.ipc.runtime_dir import RuntimeDir
from inspectd.model.options import PatchOptions


def inspectd(*words):
    """The command in this process: a process of its own takes a second to load OpenCV."""
    with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
        returncode = main(["camera", *map(str, words)])
    return SimpleNamespace(returncode=returncode, stdout=stdout.getvalue(), stderr=stderr.getvalue())


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    chessboard.write_views(folder / "views")
    (folder / "views" / "empty.png").write_bytes(cv2.imencode(".png", np.full((240, 320), 150, np.uint8))[1])
    assert cv2.imwrite(str(folder / "belt.png"), chessboard.seen((-0.5, 0.1, 0.2), (0, 0, 320)))
    words = [
        "calibrate",
        folder / "views",
        "--board",
        "7x5",
        "--square-mm",
        "20",
        "--out",
        folder / "lens.yml",
    ]
    return folder, inspectd(*words, "--plane", folder / "belt.png"), words


def test_the_lens_comes_out_with_an_error_and_a_verdict_for_each_picture(calibrated):
    folder, done, _ = calibrated
    assert done.returncode == 0, done.stderr
    assert "reprojection error 0." in done.stdout
    assert len(re.findall(r"^\d\.png +35 +0\.\d\d +good", done.stdout, re.MULTILINE)) == 10
    assert "left out: the board was not found" in done.stdout
    found = read_calibration(folder / "lens.yml")
    np.testing.assert_allclose(np.diag(found.camera_matrix)[:2], [260, 259], rtol=0.02)
    np.testing.assert_allclose(found.distortion[0], -0.28, atol=0.05)
    assert cv2.imread(str(folder / "lens.png")) is not None


def test_on_the_plane_squares_become_square_and_keep_their_direction(calibrated):
    folder, _, _ = calibrated
    geometry = read_geometry(GeometrySettings(calibration=str(folder / "lens.yml")))
    flat = geometry.apply(chessboard.seen((-0.5, 0.1, 0.2), (0, 0, 320))[..., None])
    found, corners = cv2.findChessboardCornersSB(flat[..., 0], (7, 5))
    assert found
    grid = corners.reshape(5, 7, 2)
    across, down = np.diff(grid, axis=1), np.diff(grid, axis=0)
    sides = np.concatenate([np.linalg.norm(each, axis=2).ravel() for each in (across, down)])
    pixels_a_square = chessboard.SQUARE_MM / read_calibration(folder / "lens.yml").mm_per_pixel
    np.testing.assert_allclose(sides, pixels_a_square, rtol=0.04)
    direction = across.mean(axis=(0, 1)) / np.linalg.norm(across.mean(axis=(0, 1)))
    assert abs(direction[0]) > 0.95  # it lay turned by 0.2 radians, and still does
    assert abs(direction @ down.mean(axis=(0, 1))) < 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--markers", "DICT_4X4_50", "--marker-mm", "9"],
            "the board was found in 0 pictures, expected at least 8",
        ),
        (["--board", "7"], "--board: got '7', expected COLUMNSxROWS"),
        (["--square-mm", "0"], "--square-mm: got 0"),
        (
            ["--markers", "DICT_NONE", "--marker-mm", "9"],
            "--markers: got 'DICT_NONE', expected one of: DICT_4X4",
        ),
        (["--markers", "DICT_4X4_50"], "expected both or none"),
        (
            ["--markers", "DICT_4X4_50", "--marker-mm", "9", "--board", "20x20"],
            "DICT_4X4_50 has 50, a board of 20x20 squares needs 200",
        ),
        (["--plane", "/nowhere.png"], "--plane: /nowhere.png: "),
    ],
)
def test_without_a_calibration_nothing_is_written_and_the_reason_is_said(calibrated, tmp_path, words, said):
    done = inspectd(*calibrated[2][:-1], tmp_path / "none.yml", *words)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_file_that_is_there_is_written_over(calibrated):
    folder, _, words = calibrated
    before = (folder / "lens.yml").read_bytes()
    for changes, named in (
        ((), "lens.yml"),
        (("--out", folder / "new.yml", "--picture", folder / "belt.png"), "belt.png"),
    ):
        done = inspectd(*words, *changes)
        assert done.returncode == 2, done.stdout
        assert f"{folder}/{named}: already exists, not overwritten; name another file" in done.stderr
    assert (folder / "lens.yml").read_bytes() == before


def test_pictures_that_cannot_be_read_and_a_plane_of_another_size_are_named(calibrated, tmp_path):
    words = [*calibrated[2][2:-1], tmp_path / "none.yml"]
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "1.png").write_bytes(b"nothing")
    assert "1 picture, and none can be read" in inspectd("calibrate", tmp_path / "views", *words).stderr
    other = chessboard.seen((-0.5, 0.1, 0.2), (0, 0, 320))
    assert cv2.imwrite(
        str(tmp_path / "other.png"), cv2.copyMakeBorder(other, 8, 8, 8, 8, cv2.BORDER_REPLICATE)
    )
    done = inspectd("calibrate", calibrated[0] / "views", *words, "--plane", tmp_path / "other.png")
    assert "--plane: its picture is 336x256, the others are 320x240" in done.stderr


def test_pictures_in_words_of_16_are_read_by_the_bits_that_are_given(calibrated, tmp_path):
    (tmp_path / "views").mkdir()
    for path in (calibrated[0] / "views").iterdir():
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) << 4
        assert cv2.imwrite(str(tmp_path / "views" / path.name), pixels)
    words = ["calibrate", tmp_path / "views", *calibrated[2][2:-1], tmp_path / "lens.yml"]
    assert "--bit-depth of the command" in inspectd(*words).stdout
    assert inspectd(*words, "--bit-depth", "12").returncode == 0
    found, of_8_bits = (read_calibration(folder / "lens.yml") for folder in (tmp_path, calibrated[0]))
    np.testing.assert_allclose(found.camera_matrix, of_8_bits.camera_matrix, rtol=1e-4)


@pytest.fixture
def line(tmp_path):
    """A line whose bank judges the left half of a region of turned pictures."""
    write_images(tmp_path / "parts", ["1.png"], [(48, 64)])
    bank = bank_of(
        np.arange(20.0), image_sizes=((64, 48),), patch_options=PatchOptions(region=(0.25, 0, 0.5, 1))
    )
    mask = np.zeros((4, 4), np.float32)
    mask[:, :2] = 1
    write_bank(tmp_path / "cells.bank", bank.manifest, {**bank.tensors, "head.mask": mask})
    table = camera_table("cam", tmp_path / "parts") + "[cameras.geometry]\nrotate = 90\n"
    (tmp_path / "line.toml").write_text(settings(tmp_path / "cells.bank", table))
    return tmp_path


def test_a_preview_shows_every_step_with_its_size_and_time(line):
    done = inspectd("preview", "cam", "--config", line / "line.toml", "--out", line / "p.png", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    sizes = [facts[name] for name in ("camera_gives", "line_sees", "region", "network_input", "judged_share")]
    assert sizes == ["64x48", "48x64", "24x64 at 12,0", "256x256", 0.5]
    assert set(facts["steps_ms"]) == {"read", "geometry", "digest", "gate", "crop and resize"}
    page = cv2.imread(str(line / "p.png"))
    violet = (page.astype(int) @ [1, -2, 1] > 60).mean()
    assert 0.02 < violet < 0.5


def test_a_size_that_the_bank_does_not_have_is_shouted(line):
    file = line / "line.toml"
    file.write_text(file.read_text().replace("rotate = 90", "rotate = 0"))
    done = inspectd("preview", "cam", "--config", file, "--out", line / "p.png")
    assert "THE BANK'S IMAGES ARE 48x64, and none of this size is judged" in done.stdout


def test_a_size_that_the_recipe_takes_all_the_same_is_not(line):
    file = line / "line.toml"
    text = file.read_text().replace("rotate = 90", "rotate = 0")
    file.write_text(text.replace("[[recipes]]", "[[recipes]]\nany_size = true", 1))
    done = inspectd("preview", "cam", "--config", file, "--out", line / "new" / "p.png")
    assert "the bank's images are 48x64; with any_size = true this size is judged too" in done.stdout
    assert (line / "new" / "p.png").exists()


def test_a_preview_of_a_replay_without_a_whole_frame_says_so(line):
    assert cv2.imwrite(str(line / "parts" / "1.png"), np.zeros((48, 64, 3), np.uint8))
    out = line / "p.png"
    done = inspectd("preview", "cam", "--config", line / "line.toml", "--out", out, "--seconds", "1")
    assert done.returncode == 3
    assert "within 1 s, and none that the line would judge: the last one is black" in done.stderr
    assert not (line / "p.png").exists()


def test_a_running_line_keeps_its_live_cameras(line):
    file, runtime = line / "line.toml", line / "runtime"
    live = '[[cameras]]\nkind = "opencv"\nname = "live"\nrecipe = "cell"\nsource = 97\n'
    own = f'name = "line"\nruntime_dir = "{runtime}"\n'
    file.write_text(file.read_text().replace('name = "line"\n', own) + live)
    with RuntimeDir(runtime):
        done = inspectd("preview", "live", "--config", file, "--out", line / "p.png")
    assert done.returncode == 3
    assert "a running line holds its cameras: stop it first" in done.stderr
