"""The settings of a camera's regions, and what of them does not fit together."""

import re
from pathlib import Path

import pytest

from inspectd import config
from inspectd.cli.init import example
from inspectd.errors import ConfigError

LINE = """
[[recipes]]
name = "a"
bank = "a.safetensors"
[[recipes]]
name = "b"
bank = "b.safetensors"
{more}
[[cameras]]
kind = "images"
name = "top"
recipe = "a"
folder = "pictures"
"""


def region(name: str, *more: str, left: int = 0, width: int = 10) -> str:
    rectangle = f"rectangle = {{left = {left}, top = 5, width = {width}, height = 20}}"
    return "\n".join(["[[cameras.regions]]", f'name = "{name}"', rectangle, *more, ""])


def load(tmp_path: Path, text: str, more: str = "") -> config.Config:
    file = tmp_path / "line.toml"
    file.write_text(LINE.format(more=more) + text)
    return config.load(file)


def test_a_region_is_judged_by_its_recipe_or_its_cameras(tmp_path):
    (camera,) = load(tmp_path, region("pins") + region("label", 'recipe = "b"')).cameras
    assert camera.places == {"top/pins": "a", "top/label": "b"}
    assert (
        camera.regions[0].of_frame
        == config.CameraRegion(
            name="pins", rectangle=config.PixelRectangle(left=0, top=5, width=10, height=20)
        ).of_frame
    )
    (whole,) = load(tmp_path, "").cameras
    assert whole.places == {"top": "a"}


def test_the_example_shows_every_setting_of_a_region(tmp_path):
    table = example().split("\n#[[cameras.regions]]\n")[1].split("\n\n")[0]
    lines = re.findall(r"^#(?:# )?([\w.]+ = .+)$", table, re.MULTILINE)
    assert {line.split(" =")[0].split(".")[0] for line in lines} == set(config.CameraRegion.__struct_fields__)
    text = "\n".join(["[[cameras.regions]]", *lines]).replace("label-a", "b").replace('"a"', '"b"')
    with pytest.raises(ConfigError, match="which judges nothing"):  # it is the only one, and names another
        load(tmp_path, text)
    assert load(tmp_path, text + "\n" + region("other")).cameras[0].regions[0].name == "label"


@pytest.mark.parametrize(
    ("text", "more", "problem"),
    [
        (region("x") + region("x"), "", "cameras[0].regions[1].name: 'x' is taken by regions[0]"),
        (
            region("x", 'recipe = "c"') + region("y"), "",
            "cameras[0].regions[0].recipe: no recipe 'c', expected one of: a, b",
        ),
        (
            region("x", 'recipe = "b"'), "",
            "cameras[0].recipe: got 'a', which judges nothing, as every region names another one",
        ),
        (
            region("x", width=0), "",
            "cameras[0].regions[0].rectangle.width: got 0, expected a whole number >= 1",
        ),
        (
            region("x", left=-1), "",
            "cameras[0].regions[0].rectangle.left: got -1, expected a whole number >= 0",
        ),
        (
            region("a/b"), "",
            "cameras[0].regions[0].name: got 'a/b', expected letters, digits, - and _, at most 63, a letter",
        ),
        (
            '[[cameras.regions]]\nname = "x"\n', "",
            "cameras[0].regions[0].rectangle: is missing, expected where it lies in the frame",
        ),
        (
            "".join(region(f"r{number}") for number in range(33)), "",
            "cameras[0].regions: got an array of 33, expected a list of length <= 32",
        ),
        (
            region("x") + region("y") + region("z"), "[batching]\nmax_queue = 2",
            "batching.max_queue: got 2, expected at least 3: a frame of cameras[0] has so many regions",
        ),
        (
            region("x") + '[[golden.parts]]\nname = "g"\nrecipe = "a"\nexpect = "fail"\ncameras = ["top"]',
            "",
            "golden.parts[0].cameras[0]: no camera 'top', expected one of: top/x",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(tmp_path, text, more, problem):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, more)
    (found,) = caught.value.problems
    assert found.startswith(problem)


def test_a_line_has_only_so_many_places_as_everything_else_takes(tmp_path):
    """A recipe, an order and a report hold a bank for each, and a tab of the page may show every camera."""
    camera = '[[cameras]]\nkind = "images"\nname = "c{}"\nrecipe = "a"\nfolder = "pictures"\n'
    regions = "".join(region(f"r{number}") for number in range(32))
    most = "".join(camera.format(number) + regions for number in range(7))
    assert sum(len(each.places) for each in load(tmp_path, regions + most).cameras) == 256
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, regions + most + camera.format("x"))
    (found,) = caught.value.problems
    assert found.startswith("cameras: have 257 places that are judged")
    assert "expected at most 256" in found


@pytest.mark.parametrize(
    "cameras",
    [
        '"top"', "[3]", "[{}]",
        '[{kind = "images", name = "top", regions = 7}]',
        '[{kind = "images", name = "top", regions = [1, {name = 3, recipe = []}]}]',
    ],
)  # fmt: skip
def test_nonsense_is_told_in_words(tmp_path, cameras):
    file = tmp_path / "line.toml"
    file.write_text(f"cameras = {cameras}\n[[golden.parts]]\ncameras = 3\n")
    with pytest.raises(ConfigError):
        config.load(file)
