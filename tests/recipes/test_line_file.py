"""What of a running line's configuration file, and of the files it names, is another than before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspectd.config import ImagesCamera, PresenceSettings
from inspectd.errors import ConfigError
from inspectd.recipes.line_file import LineFile, camera_stamps_of
from tests.support.daemon import camera_table, settings


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_file_or_of_a_bank_holds_up_nobody(tmp_path: Path) -> None:
    file, pipe = LineFile(tmp_path / "line.toml"), tmp_path / "pipe"
    os.mkfifo(pipe)
    file.path.write_text(settings(pipe, camera_table("cam", tmp_path)))
    with pytest.raises(ConfigError, match=r"recipes\[0\].bank: .*pipe: is not a regular file"):
        file.read()
    pipe.replace(file.path)
    with pytest.raises(ConfigError, match="is not a regular file, expected a TOML file"):
        file.read()


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("1.png", True),
        ("deep/2.JPG", True),
        ("linked/3.png", True),
        (".DS_Store", False),
        ("notes.txt", False),
        (".hidden.png", False),
    ],
)
def test_a_file_of_the_empty_belt_counts_where_it_is_one_of_its_pictures(
    tmp_path: Path, name: str, counts: bool
) -> None:
    belt, elsewhere = tmp_path / "belt", tmp_path / "elsewhere"
    for folder in (belt / "deep", elsewhere):
        folder.mkdir(parents=True)
    (belt / "linked").symlink_to(elsewhere)
    (belt / "round").symlink_to(belt)  # ends, however often it is followed
    camera = ImagesCamera(
        name="cam", recipe="r", folder="parts", presence=PresenceSettings(empty_folder=str(belt))
    )
    before = camera_stamps_of([camera])
    assert before == camera_stamps_of([camera])
    (belt / name).write_bytes(b"a picture")
    assert (camera_stamps_of([camera]) != before) == counts
