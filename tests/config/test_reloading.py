"""Which differences between two configurations a running line takes up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from inspectd.config import (
    Camera,
    CameraRegion,
    Config,
    ImagesCamera,
    OpenCvCamera,
    PixelRectangle,
    Recipe,
    compare,
)
from inspectd.config.reloading import CAMERA_RECIPE, CAMERA_REGIONS, CAMERA_RESTART, RELOADED_TABLES
from inspectd.config.values import Settings

DOC = (Path(__file__).parents[2] / "docs/operations.md").read_text()
RUNS = Config(
    recipes=(Recipe(name="a", bank="/a"), Recipe(name="b", bank="/b")),
    cameras=(
        ImagesCamera(name="left", recipe="a", folder="/pictures"),
        OpenCvCamera(name="right", recipe="a", source="rtsp://user:secret@camera/1", mode="triggered"),
    ),
)


def with_camera(**changes: object) -> Config:
    left, right = RUNS.cameras
    return msgspec.structs.replace(RUNS, cameras=(left, msgspec.structs.replace(right, **changes)))


def test_the_same_file_changes_nothing():
    change = compare(RUNS, msgspec.convert(msgspec.to_builtins(RUNS), Config))
    assert (change.restart, change.cameras, change.recipes) == ((), (), ())


@pytest.mark.parametrize("table", [name for name in Config.__struct_fields__ if name not in RELOADED_TABLES])
def test_every_setting_of_every_other_table_takes_a_restart(table):
    old = getattr(RUNS, table)
    for name in old.__struct_fields__:
        other = msgspec.structs.replace(old, **{name: "changed"})
        change = compare(msgspec.structs.replace(RUNS, **{table: other}), RUNS)
        assert [problem.partition(":")[0] for problem in change.restart] == [f"{table}.{name}"]
        assert "this takes a restart" in change.restart[0]


def test_a_cameras_settings_start_it_anew_except_what_judges_its_parts():
    for field in set(OpenCvCamera.__struct_fields__) - {CAMERA_REGIONS}:
        change = compare(RUNS, with_camera(**{field: "changed"}))
        if field == "name":
            assert "to add, remove, rename" in change.restart[0]
            continue
        assert bool(change.restart) == (field in CAMERA_RESTART)
        assert bool(change.recipes) == (field == CAMERA_RECIPE)
        assert bool(change.cameras) == (field != CAMERA_RECIPE)  # where it is not refused
    change = compare(RUNS, with_camera(source="rtsp://user:secret2@camera/2"))
    assert [camera.name for camera in change.cameras] == ["right"]
    assert "secret" not in repr((change.restart, change.recipes))


def test_of_regions_the_recipes_are_taken_up_and_all_else_takes_a_restart():
    region = CameraRegion(name="pin", rectangle=PixelRectangle(left=1, top=2, width=3, height=4))
    runs = with_camera(regions=(region,))

    def change(**changes):
        return compare(runs, with_camera(regions=(msgspec.structs.replace(region, **changes),)))

    assert change(recipe="b").recipes == ("camera right/pin: recipe b instead of a",)
    assert (change(recipe="b").restart, change(recipe="b").cameras) == ((), ())
    assert compare(runs, with_camera(regions=(region,), recipe="b")).recipes == change(recipe="b").recipes
    moved = PixelRectangle(left=1, top=2, width=3, height=5)
    for others in (change(rectangle=moved), change(name="rim"), compare(RUNS, runs), compare(runs, RUNS)):
        assert [problem.partition(":")[0] for problem in others.restart] == ["cameras[1].regions"]
        assert others.cameras == ()


def test_a_camera_of_another_kind_starts_anew():
    left = ImagesCamera(name="right", recipe="a", folder="/x", mode="triggered")
    changed = msgspec.structs.replace(RUNS, cameras=(RUNS.cameras[0], left))
    assert compare(RUNS, changed).cameras == (left,)


def test_what_changes_of_recipes_is_told_in_words():
    recipes = (Recipe(name="a", bank="/a2", threshold=3.0), Recipe(name="c", bank="/b"))
    changed = msgspec.structs.replace(with_camera(recipe="c"), recipes=recipes)
    assert compare(RUNS, changed).recipes == (
        "recipe a: threshold, bank",
        "recipe b is gone",
        "recipe c is new",
        "camera right: recipe c instead of a",
    )


@pytest.mark.parametrize("cameras", [RUNS.cameras[::-1], RUNS.cameras[:1], (*RUNS.cameras, RUNS.cameras[0])])
def test_other_cameras_take_a_restart(cameras):
    (problem,) = compare(RUNS, msgspec.structs.replace(RUNS, cameras=cameras)).restart
    assert "takes a restart" in problem


def test_the_page_says_of_every_setting_what_a_reload_does_with_it():
    lines = DOC[DOC.index("| Settings | On a reload |") :].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[2 : lines.index("")]]
    said = {name: effect for names, effect in rows for name in re.findall(r"`([\w\[\].]+)`", names)}
    cameras = {name for kind in get_args(Camera) for name in kind.__struct_fields__}
    expected = {f"cameras[].{name}": "its camera starts anew" for name in cameras}
    expected |= {f"cameras[].{name}": "takes a restart" for name in CAMERA_RESTART}
    expected[f"cameras[].{CAMERA_REGIONS}"] = "takes a restart"
    expected |= {f"{table}{CAMERA_RECIPE}": "taken up" for table in ("cameras[].", "cameras[].regions[].")}
    expected |= {f"recipes[].{name}": "taken up" for name in Recipe.__struct_fields__}
    expected |= {name: "takes a restart" for name in Config.__struct_fields__ if name not in RELOADED_TABLES}
    assert said == expected
    assert all(issubclass(kind, Settings) for kind in get_args(Camera))
