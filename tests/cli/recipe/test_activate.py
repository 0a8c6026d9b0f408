"""`inspectd recipe activate` at a line that a test plays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.changeovers import add_recipe
from support.played_line import PlayedLine

from inspectd.cli import main, recipe_activate


@pytest.fixture
def line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedLine]:
    """The line of the folder, whose store has what the played one can load; it is looked at often."""
    monkeypatch.setattr(recipe_activate, "_LOOK_SECONDS", 0.2)
    file = folder / "line.toml"
    file.write_text(file.read_text().replace("[line]", '[line]\nruntime_dir = "run"'))
    (folder / "run").mkdir()
    (folder / "state").mkdir()
    for _ in range(3):
        add_recipe(folder / "state", "glass", 7, {"top": 0.5, "side": 0.5})
    made = PlayedLine(folder / "run")
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "glass@3: in force\n"),
        (1, "error: glass@3: could not be loaded; the line's log says why\n"),
    ],
)
def test_nobody_waits_for_an_event_of_the_line_that_is_lost_on_its_way(
    line, folder, capsys, code, said
) -> None:
    line.loads_for_ever = True
    with ThreadPoolExecutor(1) as beside:
        done = beside.submit(main, ["recipe", "activate", "glass@3", "--config", str(folder / "line.toml")])
        while not line.loading:
            time.sleep(0.01)
        line.loading, line.loads_for_ever = "", bool(code)
        assert done.result(20) == code
    assert "".join(capsys.readouterr()) == said
