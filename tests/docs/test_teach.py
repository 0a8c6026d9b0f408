"""docs/teach.md: its table of roles is the program's."""

from __future__ import annotations

import re
from pathlib import Path

from inspectd.teach.roles import ALLOWED, TeachAct

PAGE = (Path(__file__).parents[2] / "docs" / "teach.md").read_text()
COMMANDS = {"build": "candidate"}
"""Acts whose command has another name."""


def test_the_table_says_who_may_do_what() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.split("<!-- roles -->")[1].strip().splitlines()[:9]]
    roles = [name.strip() for name in rows[0][1:]]
    told = {
        command: {role for role, cell in zip(roles, cells, strict=True) if cell.strip() == "yes"}
        for first, *cells in rows[2:]
        for command in re.findall(r"`(\w+)`", first)
    }
    assert told.pop("refuse") == told["confirm"]
    assert told == {COMMANDS.get(act, act.value): set(ALLOWED[act]) for act in TeachAct}
