"""The documented backup takes what a line cannot make anew, by whatever names its files have."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

DOC = Path(__file__).parents[2] / "docs" / "operations.md"
KEPT = {
    "audit.jsonl",
    "golden.jsonl",
    "recipes/cells/1/recipe.toml",
    "teach/cases/1.json",
    "a.bank",
    "banks/b.safetensors",
    "banks/journal.bank",
}
LEFT = {
    "audit.mark",
    "journal.sqlite",
    "journal.sqlite-wal",
    "journal.mark",
    "evidence/1/frame.png",
    "recipes/.new-1/x",
}


def test_the_backup_of_the_state_takes_banks_by_any_name_and_leaves_out_what_is_made_anew(
    tmp_path: Path,
) -> None:
    for name in KEPT | LEFT:
        (tmp_path / "STATE" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "STATE" / name).write_text(name)
    (tmp_path / "COPY").mkdir()
    (command,) = re.findall(r"^    (tar -c\S+ COPY/line1-state\S+ .*)$", DOC.read_text(), re.MULTILINE)
    words = command.replace("COPY/", f"{tmp_path}/COPY/")
    subprocess.run(["sh", "-c", words], cwd=tmp_path / "STATE", check=True)
    archive = str(tmp_path / "COPY/line1-state.tar.gz")
    listed = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True).stdout
    members = [name.removeprefix("./") for name in listed.split() if not name.endswith("/")]
    assert members[0] == "audit.jsonl"
    assert sorted(members) == sorted(KEPT)
