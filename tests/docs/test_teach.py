"""docs/teach.md: its table of roles is the program's."""

from __future__ import annotations

import re
from pathlib import Path

from inspectd.teach.roles import ALLOWED, TeachAct

PAGE = (Path(__file__).parents[2] / "docs" / "teach.md").read_text()
COMMANDS = {"build": "`candidate`", "withdraw_escape": "`withdraw` of an escape"}
"""Acts whose command has another name."""


def test_the_table_says_who_may_do_what() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.split("<!-- roles -->")[1].strip().splitlines()[:9]]
    roles = [name.strip() for name in rows[0][1:]]
    told = {}
    for first, *cells in rows[2:]:
        may = {role for role, cell in zip(roles, cells, strict=True) if cell.strip() == "yes"}
        told |= dict.fromkeys(re.findall(r"`\w+`(?: of an escape)?", first), may)
    assert told.pop("`refuse`") == told["`confirm`"]
    assert told == {COMMANDS.get(act, f"`{act}`"): set(ALLOWED[act]) for act in TeachAct}
