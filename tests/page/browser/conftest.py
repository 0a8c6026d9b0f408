"""A line, its page and a browser, for all that people see."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from support.cells import cells
from support.daemon import Daemon, camera_table, settings
from support.glass import Glass, launched
from support.page_process import PageProcess
from support.triggers import Plant

from inspectd.client import TriggerRequest

HOSTILE = "<img src=x onerror=document.title='hacked'>"
"""Wherever the line can carry a name, it carries this one."""
ZONE = '[view]\nzone = "Asia/Seoul"\n'


@pytest.fixture(scope="module")  # while it is open, nothing else in this process can run an event loop
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def look(chromium) -> Iterator[Callable[..., Glass]]:
    """Opens a tab on a page, as somebody with a role."""
    opened: list[Glass] = []

    def open_tab(page: PageProcess, role: str = "viewer", path: str = "/", **more: Any) -> Glass:
        opened.append(Glass(chromium, page, role, **more))
        return opened[-1].open(path)

    yield open_tab
    for glass in opened:
        glass.__exit__(None, None, None)


def pictures(folder: Path) -> Path:
    """Good cells, and some whose label and file name are hostile."""
    good, bad = folder / "good", folder / HOSTILE
    for place, images in ((good, cells(defective=False)[:6]), (bad, cells(defective=True)[:3])):
        place.mkdir(parents=True)
        for number, image in enumerate(images):
            shutil.copy(image, place / f"{number}{HOSTILE}{image.suffix}")
    return folder


@pytest.fixture(scope="module")
def line(start_shared_daemon, stub_bank, tmp_path_factory) -> Daemon:
    """One camera that sees parts all the time, and one that is triggered."""
    folder = pictures(tmp_path_factory.mktemp("pictures"))
    cameras = camera_table("top", folder, fps=5) + camera_table("side", folder, fps=5, mode='"triggered"')
    evidence = f'[evidence]\ndir = "{tmp_path_factory.mktemp("evidence")}"\nmax_per_second = 100\n'
    triggers = "[triggers]\nwindow_ms = 1000\nmax_delay_ms = 3000\n"
    daemon = start_shared_daemon(
        settings(stub_bank, cameras, extra=triggers + evidence + "[preview]\n")
    ).ready()
    plant = Plant(daemon)
    assert plant.sender.send(TriggerRequest("1", part_id=HOSTILE), timeout_seconds=5)
    plant.close()
    daemon.until(lambda: daemon.reader.parts and len(daemon.reader.verdicts) > 10)
    return daemon


@pytest.fixture(scope="module")
def page(line, tmp_path_factory) -> Iterator[PageProcess]:
    evidence = line.file.read_text().split('dir = "')[-1].split('"')[0]
    process = PageProcess(
        tmp_path_factory.mktemp("page"), line.runtime_dir, ZONE, line=f'evidence_dir = "{evidence}"'
    )
    yield process
    process.close()


@pytest.fixture(scope="module")
def its_page(changing, tmp_path_factory) -> Iterator[PageProcess]:
    """The page of the file's own line, `changing`, whose recipes it may change."""
    recipes = f'recipes_dir = "{changing.folder / "state" / "recipes"}"\n'
    process = PageProcess(tmp_path_factory.mktemp("page"), changing.runtime_dir, line=recipes)
    yield process
    process.close()
