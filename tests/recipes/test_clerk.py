"""The thread that asks the disk: what it refuses is told to who asked, and never ends the line."""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from inspectd.errors import InspectdError, UnavailableError
from inspectd.recipes.clerk import DiskClerk


def asked(work: Callable[[], object]) -> list[object]:
    """What comes of it, as the loop is told."""
    clerk, told = DiskClerk(), list[object]()
    failed: Callable[[InspectdError], None] = told.append
    clerk.ask(work, told.append, failed)
    assert select.select([clerk], [], [], 10)[0]
    try:
        clerk.take_answers()
    finally:
        clerk.close()
    return told


def test_what_the_disk_refuses_is_told_in_words_to_who_asked(tmp_path):
    path = tmp_path / ("x" * 300)
    with pytest.raises(OSError, match="too long"):  # as a folder that cannot be entered, or a disk that fails
        path.exists()
    (error,) = asked(path.exists)
    assert isinstance(error, UnavailableError)
    assert str(error) == f"{path}: cannot be used: File name too long"
    assert asked(partial(Path.exists, tmp_path)) == [True]


def test_a_fault_of_the_program_is_raised_where_the_loop_turns():
    with pytest.raises(ZeroDivisionError):
        asked(lambda: 1 // 0)
