"""Checks beyond import contracts: no circle between files, and torch.cuda in the CUDA backend alone."""

from __future__ import annotations

import graphlib
import sys
from pathlib import Path
from typing import Final

import grimp

_PACKAGE: Final = Path(__file__).parents[1] / "inspectd"
_CUDA: Final = _PACKAGE / "backends" / "cuda"


def circle() -> str | None:
    """The first circle of imports there is, those inside functions included."""
    graph = grimp.build_graph("inspectd")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return None


def strays() -> list[str]:
    """Lines outside the CUDA backend that name torch.cuda."""
    return [
        f"{path}:{number}: torch.cuda belongs in {_CUDA.relative_to(_PACKAGE.parent)}"
        for path in sorted(_PACKAGE.rglob("*.py"))
        if not path.is_relative_to(_CUDA)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "torch.cuda" in line
    ]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    found = strays()
    if path := circle():
        found.append(f"import circle: {path}")
    print("\n".join(found) or "no import circle, torch.cuda in its backend alone")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
