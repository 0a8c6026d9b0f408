"""An import that is killed at any moment leaves whole versions, and the next import cleans up behind it.

    PYTHONPATH=.:tests python tests/recipes/test_killed_imports.py

kills it before every line of the store, which takes minutes; as a test it is before every 29th.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support.recipes import draft, tree

from inspectd.recipes.store import RecipeStore

OURS = str(Path("inspectd", "recipes"))


def killed(
    work: Callable[[], object], *, after_lines: int = sys.maxsize, after_seconds: float = 30.0
) -> bool:
    """Whether `work`, in a process of its own, was killed: before that line of the store, or at that time."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which kills
            signal.setitimer(signal.ITIMER_REAL, after_seconds)
            sys.settrace(_killer(after_lines))
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _killer(after_lines: int) -> Callable[[FrameType, str, Any], Any]:
    lines = iter(range(after_lines))

    def trace(frame: FrameType, kind: str, _: Any) -> Any:
        if OURS not in frame.f_code.co_filename:
            return None
        if kind == "line" and next(lines, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def line(folder: Path) -> RecipeStore:
    """A store with one version of cells; `draft` made its banks beside it."""
    store = RecipeStore(folder / "recipes", clock_ns=lambda: 10**18)
    store.add(draft(folder))
    return store


def assert_whole(store: RecipeStore, folder: Path, before: dict[str, object]) -> None:
    """What was there is there, what is new is whole, and the next import works and leaves no rest."""
    now = tree(folder / "recipes")
    assert {name: entry for name, entry in now.items() if name in before} == before
    for each in store.listing():
        assert each.problem is None
        store.verify(each.id, each.version)
    newest = max(store.versions("glass"), default=0)
    assert store.add(draft(folder, id="glass", number=40)).version == newest + 1
    assert sorted(path.name for path in (folder / "recipes").iterdir()) == ["cells", "glass"]


def assert_whole_wherever_killed(root: Path, source: str, every: int) -> None:
    """Import anew for each of the lines before which it is killed, to the last one."""
    glass = draft(root / "sources", id="glass", number=40)
    RecipeStore(root / "other").add(glass)
    RecipeStore(root / "other").export("glass", 1, root / "glass.zip")
    for lines in range(source == "files", 5000, every):
        folder = root / str(lines)
        store = line(folder)
        before = tree(folder / "recipes")
        if source == "files":
            was_killed = killed(lambda: store.add(glass), after_lines=lines)  # noqa: B023 - at once
        else:
            archive = root / "glass.zip"
            was_killed = killed(lambda: store.import_archive(archive, who="otto"), after_lines=lines)  # noqa: B023
        assert_whole(store, folder, before)
        if not was_killed:
            break
    assert not was_killed
    assert lines > 200


@pytest.mark.parametrize("source", ["files", "an archive"])
def test_killed_before_every_29th_line_of_the_store(tmp_path, source):
    assert_whole_wherever_killed(tmp_path, source, 29)


@pytest.mark.parametrize("seed", range(20))
def test_killed_at_any_time(tmp_path, seed):
    store = line(tmp_path)
    (tmp_path / "cam1").write_bytes(bytes(3_000_000))
    before = tree(tmp_path / "recipes")
    glass = draft(tmp_path / "sources", id="glass", number=40)
    (tmp_path / "sources" / "cam2").write_bytes(bytes(3_000_000))
    killed(lambda: store.add(glass), after_seconds=random.Random(seed).uniform(0.0005, 0.03))
    assert_whole(store, tmp_path, before)


if __name__ == "__main__":
    for each in ("files", "an archive"):
        with tempfile.TemporaryDirectory() as name:
            assert_whole_wherever_killed(Path(name), each, 1)
