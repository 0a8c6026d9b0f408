"""The program's files are replaced under a running line, as by `pip install` in place."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.daemon import Daemon, camera_table, settings

import inspectd

PACKAGE = Path(inspectd.__file__).parent


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A copy of the program that a test may replace files of."""
    return shutil.copytree(PACKAGE, tmp_path / "program" / "inspectd")


def replace(file: Path) -> None:
    """Have another version of a file of the program in its place."""
    new = file.with_suffix(".new")
    new.write_text(f"{file.read_text()}\n# of another version\n")
    new.replace(file)


@pytest.fixture
def daemon(program: Path, start_daemon: Callable[..., Daemon], stub_bank: Path, small_good: Path) -> Daemon:
    """A line that runs by that copy."""
    text = settings(stub_bank, camera_table("cam", small_good, fps=20))
    path = os.pathsep.join([str(program.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return start_daemon(text, {"PYTHONPATH": path}).ready()


def test_a_line_ends_rather_than_go_on_with_a_process_of_another_version(
    daemon: Daemon, program: Path
) -> None:
    os.kill(daemon.children()["scoring"], signal.SIGKILL)
    daemon.until(lambda: len([event for event in daemon.reader.events if event.event == "scoring_ready"]) > 1)
    replace(program / "scoring" / "stub.py")
    os.kill(daemon.children()["scoring"], signal.SIGKILL)
    assert daemon.process.wait(10) == 3
    log = daemon.log.read_text()
    assert f"scoring: the program's files in {program} were replaced while the line ran, and no" in log
    assert "Traceback" not in log


def test_without_a_process_of_it_a_line_goes_on(daemon: Daemon, program: Path) -> None:
    shutil.rmtree(program)
    before = len(daemon.reader.verdicts)
    daemon.until(lambda: len(daemon.reader.verdicts) > before + 10)
    assert {verdict.evaluation for verdict in daemon.reader.verdicts} == {"pass"}
    assert daemon.stop() == 0
