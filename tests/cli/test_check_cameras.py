"""What `inspectd check` finds of cameras, their files and their latencies."""

from __future__ import annotations

import shutil

import cv2
import msgspec
import numpy as np
import pytest
from support.command import inspectd as process_of
from support.daemon import camera_table, settings
from support.pictures import write_images

from inspectd.bank.file import read_bank, write_bank


def test_a_camera_of_another_size_than_the_banks_images_is_found(inspectd, tmp_path, bank_file):
    write_images(tmp_path / "small", ["1.png"])
    cameras = camera_table("cam", tmp_path / "small") + camera_table("cut", tmp_path / "small")
    for name, width in (("far", 300), ("small", 40)):
        rectangle = f"{{left = 0, top = 0, width = {width}, height = 48}}"
        cameras += f'[[cameras.regions]]\nname = "{name}"\nrectangle = {rectangle}\n'
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, cameras))
    done = inspectd("check", file)
    assert done.returncode == 2
    for problem in (
        "cameras[0].folder: frames are 64x48, the images of recipe cell were 300x300; none would be judged (",
        "(parts cut out one by one, each of a size of its own, take any_size = true)",
        "cameras[1].folder: region far reaches to column 300 and row 48, frames are 64x48; region small is",
        "region small is 40x48, the images of recipe cell were 300x300; none would be judged",
    ):
        assert problem in done.stderr


def test_files_that_a_camera_cannot_use_are_found_before_the_line_starts(inspectd, tmp_path):
    write_images(tmp_path / "parts", ["1.png"])
    write_images(tmp_path / "empty", [f"{number}.png" for number in range(10)], [(40, 60)] * 10)
    (tmp_path / "lens.yml").write_text("{}")
    tables = [
        camera_table("a", tmp_path / "parts") + '[cameras.geometry]\ncalibration = "lens.yml"\n',
        camera_table("b", tmp_path / "parts") + '[cameras.presence]\nempty_folder = "none"\n',
        camera_table("c", tmp_path / "parts") + '[cameras.presence]\nempty_folder = "empty"\n',
    ]
    file = tmp_path / "line.toml"
    file.write_text(settings(tmp_path / "none.bank", "".join(tables)))
    done = inspectd("check", file)
    assert done.returncode == 2
    for problem in (
        f"cameras[0].geometry.calibration: {tmp_path}/lens.yml: ",
        f"cameras[1].presence.empty_folder: folder {tmp_path}/none: not found",
        "cameras[2].presence.empty_folder: its pictures are 60x40, frames are 64x48",
    ):
        assert problem in done.stderr


def test_a_picture_that_the_line_would_leave_out_is_warned_of_and_no_problem(
    inspectd, tmp_path, bank_file, good_folder
):
    shutil.copytree(good_folder, tmp_path / "parts")
    (tmp_path / "parts" / "0.png").write_bytes(b"nothing")
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera_table("cam", tmp_path / "parts")))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "warning: cameras[0].folder: 0.png: " in done.stderr
    assert "it is left out of the replay" in done.stderr


LIVE = """
[[recipes]]
name = "r"
bank = "b"
[[cameras]]
kind = "opencv"
name = "cam"
recipe = "r"
source = 0
"""


@pytest.mark.parametrize(
    ("camera", "more", "warned"),
    [
        (
            "mode = 'triggered'\nlatency_ms = 0",
            "",
            "cameras[0].latency_ms: is 0, but every real camera has a latency",
        ),
        (
            "mode = 'triggered'\nlatency_ms = 80\nfps = 20",
            "",
            "triggers.window_ms: is 100, but the first frame of cam",
        ),
        ("mode = 'triggered'\nlatency_ms = 80\nfps = 20", "[triggers]\nwindow_ms = 131", None),
        ("mode = 'free'", "", None),
    ],
)
def test_latencies_with_which_parts_go_wrong_are_warned_of(inspectd, tmp_path, camera, more, warned):
    file = tmp_path / "line.toml"
    file.write_text(f"{LIVE}{camera}\n{more}\n")
    done = inspectd("check", "--settings-only", file)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"warning: {warned}") if warned else not done.stderr


def test_a_live_triggered_camera_without_its_latency_is_refused_everywhere(inspectd, tmp_path):
    file = tmp_path / "line.toml"
    file.write_text(f"{LIVE}mode = 'triggered'\n")
    for give, *words in ((inspectd, "check", "--settings-only", file), (process_of, "run", file)):
        done = give(*words)
        assert done.returncode == 2
        assert "cameras[0].latency_ms: is missing, expected the longest time from exposure" in done.stderr
        assert "`inspectd camera latency cam --config FILE` measures it" in done.stderr


def test_cameras_that_look_at_no_part_or_that_no_gate_hears_of_are_warned_of(
    inspectd, tmp_path, bank_file, good_folder
):
    live = 'kind = "opencv"\nsource = "rtsp://127.0.0.1:1/a"\nrecipe = "cell"\n'
    cameras = (
        camera_table("top", good_folder, mode='"triggered"')
        + camera_table("side", good_folder)
        + f'[[cameras]]\nname = "left"\nmode = "triggered"\nlatency_ms = 80\n{live}'
        + f'[[cameras]]\nname = "right"\nmode = "triggered"\nlatency_ms = 80\n{live}'
    )
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, cameras))
    done = inspectd("check", file, "--settings-only")
    assert done.returncode == 0, done.stderr
    said = [line.partition(", ")[0] for line in done.stderr.splitlines() if "cameras[" in line]
    assert said[:3] == [
        "warning: cameras[0].kind: top replays pictures",
        'warning: cameras[1].mode: is "free" beside triggered cameras',
        "warning: cameras[3].source: is that of cameras[2] too",
    ]


def test_parts_among_the_pictures_of_the_empty_belt_are_warned_of(inspectd, tmp_path, bank_file, good_folder):
    file = tmp_path / "line.toml"
    (tmp_path / "belt").mkdir()
    for number in range(10):
        shutil.copy(min(good_folder.iterdir()), tmp_path / f"belt/{number}.png")
    camera = camera_table("cam", good_folder) + '[cameras.presence]\nempty_folder = "belt"\n'
    file.write_text(settings(bank_file, camera))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if "empty_folder" in line]
    assert " would pass by recipe cell: does it show a part? " in warning


def test_a_belt_that_would_hide_parts_is_warned_of(inspectd, tmp_path, bank_file):
    chance = np.random.default_rng(0)
    (tmp_path / "belt").mkdir()
    for number in range(40):
        pixels = np.full((300, 300, 3), 120, np.uint8)
        cv2.circle(pixels, tuple(map(int, chance.integers(0, 300, 2))), 20, (60, 60, 60), -1)
        assert cv2.imwrite(str(tmp_path / f"belt/{number}.png"), pixels)
    camera = camera_table("cam", tmp_path / "belt") + '[cameras.presence]\nempty_folder = "belt"\n'
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "cameras[0].presence.empty_folder: its pictures differ so much from each other" in done.stderr


def test_so_they_are_of_a_camera_of_more_bits_than_its_recorded_pictures(
    inspectd, tmp_path, bank_file, good_folder
):
    bank, pixels = read_bank(bank_file), cv2.imread(str(min(good_folder.iterdir())), cv2.IMREAD_GRAYSCALE)
    write_bank(tmp_path / "12.bank", msgspec.structs.replace(bank.manifest, bit_depth=12), bank.tensors)
    for folder, picture in (("parts", pixels.astype("uint16") << 4), ("belt", pixels)):
        (tmp_path / folder).mkdir()
        for number in range(10):
            assert cv2.imwrite(str(tmp_path / folder / f"{number}.png"), picture)
    camera = camera_table("cam", tmp_path / "parts", bit_depth=12)
    file = tmp_path / "line.toml"
    file.write_text(settings(tmp_path / "12.bank", camera + '[cameras.presence]\nempty_folder = "belt"\n'))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "0.png would pass by recipe cell: does it show a part? " in done.stderr


def test_so_is_each_region_that_the_recipe_judges(inspectd, tmp_path, bank_file, good_folder):
    pixels = cv2.imread(str(min(good_folder.iterdir())))
    (tmp_path / "belt").mkdir()
    for number in range(10):  # on the right there is a part, on the left nothing
        assert cv2.imwrite(str(tmp_path / f"belt/{number}.png"), cv2.hconcat([pixels // 8, pixels]))
    camera = camera_table("cam", tmp_path / "belt") + '[cameras.presence]\nempty_folder = "belt"\n'
    for name, left in (("left", 0), ("right", pixels.shape[1])):
        rectangle = f"{{left = {left}, top = 0, width = {pixels.shape[1]}, height = {pixels.shape[0]}}}"
        camera += f'[[cameras.regions]]\nname = "{name}"\nrectangle = {rectangle}\n'
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, camera))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if "empty_folder" in line]
    assert "empty_folder: region right of 0.png would pass by recipe cell: " in warning
