"""What a line takes of memory, stated before it runs."""

import json
import sys
from pathlib import Path

import measure_many_cameras
import pytest

from inspectd.cli.check_memory import (
    MemoryOfMachine,
    _limits,
    memory_lines,
    memory_of_machine,
    memory_problem,
    memory_warning,
    statement_of,
)
from inspectd.config import ImagesCamera
from inspectd.ipc.ring import FrameRing, ring_bytes

GB, FRAME = 10**9, 3872 * 2592 * 3
CAMERAS = [ImagesCamera(name=f"cam{number}", recipe="r", folder="x", slots=16) for number in range(4)]
STATED = statement_of(CAMERAS, {camera.name: FRAME for camera in CAMERAS}, scoring_bytes=GB)


def machine(total_gb, free_gb, limit_of=""):
    return MemoryOfMachine(int(total_gb * GB), int(free_gb * GB), limit_of)


def test_a_ring_takes_what_is_stated():
    ring = FrameRing.create(1, 3, 5000)
    assert ring.address()[1] == ring_bytes(3, 5000)
    ring.close()


def test_the_rings_are_most_of_four_cameras_of_ten_megapixels():
    assert sum(STATED.ring_bytes.values()) == pytest.approx(4 * 16 * FRAME, rel=1e-3)
    assert STATED.most_bytes == STATED.total_bytes + STATED.ring_bytes["cam0"] + GB


@pytest.mark.parametrize(
    ("there", "problem", "warning"),
    [
        (machine(32, 30), False, False),
        (machine(32, 2), False, True),
        (machine(3, 3), True, True),
        (machine(3, 3, "/sys/fs/cgroup/line.slice"), True, True),
    ],
)
def test_too_much_for_the_machine_is_a_problem_and_for_now_a_warning(there, problem, warning):
    assert (memory_problem(STATED, there) is not None, memory_warning(STATED, there) is not None) == (
        problem,
        warning,
    )
    if problem:
        assert (there.limit_of or "this machine") in memory_problem(STATED, there)


def test_a_camera_that_delivered_nothing_is_named():
    stated = statement_of(CAMERAS, {"cam1": FRAME}, scoring_bytes=0)
    lines = list(memory_lines(stated, CAMERAS[:2], machine(32, 30)))
    assert lines[2:] == ["  cam0: not in it, it delivered no frame", "  cam1: 482 MB, 16 slots"]
    assert "scoring not known" in lines[1]


@pytest.mark.parametrize(
    ("own", "folder", "names"),
    [
        ("0::/system.slice/line\n", "", ("memory.max", "memory.current")),
        ("5:cpu:/x\n4:memory:/system.slice/line\n", "memory",
         ("memory.limit_in_bytes", "memory.usage_in_bytes")),
    ],
)  # fmt: skip
def test_limits_of_every_control_group_above_are_found(tmp_path, own, folder, names):
    (tmp_path / "own").write_text(own)
    top = tmp_path / "groups" / folder
    for path, limit in ((top / "system.slice", "5000"), (top / "system.slice/line", "max")):
        path.mkdir(parents=True)
        (path / names[0]).write_text(limit + "\n")
        (path / names[1]).write_text("1200\n")
    assert list(_limits(tmp_path / "own", tmp_path / "groups")) == [(top / "system.slice", 5000, 1200)]


def test_this_machine_says_what_it_has():
    there = memory_of_machine()
    assert 0 < there.available_bytes <= there.all_bytes


@pytest.mark.daemon
def test_a_line_takes_no_more_than_was_stated_and_its_count_closes(monkeypatch, capsys):
    """The short form of `tools/measure_many_cameras.py`."""
    words = ["--cameras", "3", "--width", "1920", "--height", "1080", "--seconds", "2"]
    monkeypatch.setattr(sys, "argv", [str(Path(measure_many_cameras.__file__)), *words])
    code = measure_many_cameras.main()
    found = json.loads(capsys.readouterr().out)
    assert (code, found["count_closes"], found["is_as_stated"]) == (0, True, True), found
    assert found["counts"]["verdicts"] > 5
