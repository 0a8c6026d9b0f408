"""The source distribution holds what the documents tell people to use."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("config", "docs", "inspectd", "systemd", "tests", "tools")
NOT_OURS = shutil.ignore_patterns("__pycache__", ".*", "node_modules")


def test_the_source_distribution_is_whole(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=NOT_OURS)
    for file in ROOT.glob("*.*"):
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, source)
    for name in ("LICENSE", "Makefile"):
        shutil.copy(ROOT / name, source)
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    (source / "tools/page/node_modules").mkdir()
    (source / "tools/page/node_modules/foreign.js").touch()
    out.mkdir()
    subprocess.run([sys.executable, "-c", code, out], cwd=source, check=True, capture_output=True)
    (archive,) = out.iterdir()
    with tarfile.open(archive) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}
    wanted = {str(path.relative_to(source)) for name in FOLDERS for path in (source / name).rglob("*.*")}
    files = {name for name in wanted if (source / name).is_file() and "node_modules" not in name}
    assert {"constraints.txt", "Makefile", "systemd/inspectd@.service"} <= held
    assert files <= held
    assert not any("node_modules" in name for name in held)
