"""What of a running line's configuration file, and of the files it names, is another than before."""

from __future__ import annotations

import os
from itertools import cycle
from pathlib import Path
from threading import Event, Thread

import pytest

from inspectd.config import ImagesCamera, PresenceSettings
from inspectd.errors import ConfigError
from inspectd.recipes.line_file import camera_stamps_of, read_line_file
from tests.support.daemon import camera_table, settings


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_file_or_of_a_bank_holds_up_nobody(tmp_path: Path) -> None:
    file, pipe = tmp_path / "line.toml", tmp_path / "pipe"
    os.mkfifo(pipe)
    file.write_text(settings(pipe, camera_table("cam", tmp_path)))
    with pytest.raises(ConfigError, match=r"recipes\[0\].bank: .*pipe: is not a regular file"):
        read_line_file(file)
    pipe.replace(file)
    with pytest.raises(ConfigError, match="is not a regular file, expected a TOML file"):
        read_line_file(file)


def test_a_file_that_is_replaced_while_it_is_read_is_one_or_the_other_and_no_mixture(tmp_path: Path) -> None:
    bank, file = tmp_path / "bank", tmp_path / "line.toml"
    bank.write_bytes(b"a bank")
    texts = [settings(bank, "".join(camera_table(name, tmp_path) for name in names)) for names in ("a", "ab")]
    file.write_text(texts[0])
    is_over = Event()

    def replace_it() -> None:
        for text in cycle(texts):
            (tmp_path / "new").write_text(text)
            (tmp_path / "new").replace(file)
            if is_over.is_set():
                return

    replacing = Thread(target=replace_it)
    replacing.start()
    try:
        for content in [read_line_file(file) for _ in range(40)]:
            assert [camera.name for camera in content.config.cameras] == list(content.camera_files)
    finally:
        is_over.set()
        replacing.join()


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
