"""What is installed from a checkout is that checkout, whatever was installed from it before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkout with two modules."""
    folder = tmp_path / "source"
    (folder / "inspectd").mkdir(parents=True)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "inspectd/__init__.py"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("early.py", "later.py"):
        (folder / "inspectd" / name).write_text("NEW = True\n")
    return folder


def test_a_wheel_holds_nothing_of_another_version_that_was_built_here_before(
    source: Path, tmp_path: Path
) -> None:
    def built(name: str) -> dict[str, bytes]:
        (out := tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-c", BUILD, out], cwd=source, check=True, capture_output=True)
        (wheel,) = out.iterdir()
        with zipfile.ZipFile(wheel) as packed:
            return {each: packed.read(each) for each in packed.namelist() if each.startswith("inspectd/")}

    assert {"inspectd/early.py", "inspectd/later.py"} <= built("first").keys()
    assert not (source / "build").exists()
    (source / "inspectd/later.py").unlink()
    (source / "inspectd/early.py").write_text("NEW = False\n")
    os.utime(source / "inspectd/early.py", (0, 1_500_000_000))  # as archives keep the times of older files
    second = built("second")
    assert "inspectd/later.py" not in second
    assert second["inspectd/early.py"] == b"NEW = False\n"
