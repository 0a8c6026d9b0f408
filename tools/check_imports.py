"""Checks beyond import contracts: no circle between files, and names that belong in one place."""

from __future__ import annotations

import graphlib
import re
import sys
from pathlib import Path
from typing import Final

import grimp

_PACKAGE: Final = Path(__file__).parents[1] / "inspectd"
_CUDA: Final = Path("backends/cuda")
_FOLDERS: Final = Path("cli/line_folders.py")
_FOLDER: Final = re.compile(r"\.(runtime|state|evidence)_path\b")
"""Where the settings alone would look, which the service of a line is told otherwise."""


def circle() -> str | None:
    """The first circle of imports there is, those inside functions included."""
    graph = grimp.build_graph("inspectd")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return None


def strays(package: Path = _PACKAGE) -> list[str]:
    """Lines outside the CUDA backend that name torch.cuda, and commands that take a line's folder unasked."""
    found = []
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if "torch.cuda" in line and not inside.is_relative_to(_CUDA):
                found.append(f"{path}:{number}: torch.cuda belongs in {_CUDA}")
            if _FOLDER.search(line) and inside.parts[0] == "cli" and inside != _FOLDERS:
                found.append(f"{path}:{number}: where a line has its folders, {_FOLDERS} says")
    return found


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    found = strays()
    if path := circle():
        found.append(f"import circle: {path}")
    print("\n".join(found) or "no import circle, and every name in its place")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
