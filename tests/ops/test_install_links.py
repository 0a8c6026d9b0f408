"""The documented install may be done again, as each service's page says: its links stay what they are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_the_links_of_the_install_can_be_made_again(page: str, tmp_path: Path) -> None:
    (tmp_path / "opt/inspectd-0.1.0/bin").mkdir(parents=True)
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    commands = re.findall(r"^ +(ln -s.*)$", (ROOT / page).read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands * 2:
        words = re.sub(r" /(?=opt|usr)", f" {tmp_path}/", command)
        subprocess.run(words.split(), check=True)
    assert [path.name for path in (tmp_path / "opt/inspectd-0.1.0").iterdir()] == ["bin"]
    assert (tmp_path / "opt/inspectd").readlink() == Path("inspectd-0.1.0")
    assert (tmp_path / "usr/local/bin/inspectd").readlink() == tmp_path / "opt/inspectd/bin/inspectd"
