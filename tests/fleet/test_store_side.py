"""What an agent says of the commands that it hands archives to the line's store by."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from support.changeovers import add_recipe, line_with_a_recipe

from inspectd import config
from inspectd.errors import UnavailableError
from inspectd.fleet.agent.store_side import LineStore
from inspectd.recipes.audit import AuditAction
from inspectd.recipes.stored import Change, RecipeRecords


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kill -KILL $$", "`inspectd recipe list` was killed (SIGKILL), as a rule because memory ran out"),
        ("kill -TERM $$", "`inspectd recipe list` was ended by SIGTERM: it was slow"),
        ("kill -40 $$", "`inspectd recipe list` was ended by signal 40: it was slow"),
        ("exit 5", "`inspectd recipe list` ended with 5: it was slow"),
    ],
)
def test_a_command_that_was_ended_says_by_what(
    how: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho it was slow >&2\n{how}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(UnavailableError) as ended:
        asyncio.run(LineStore(tmp_path / "line1.toml").count())
    assert str(ended.value).startswith(words)
    assert ("MemoryMax" in str(ended.value)) == ("KILL" in how)


def test_that_an_ordered_change_was_taken_back_can_be_said_by_nobody_but_the_line(
    tmp_path: Path, stub_bank: Path, good_folder: Path
) -> None:
    file, state = line_with_a_recipe(tmp_path, stub_bank, good_folder)
    add_recipe(state, "b", 2, {"cam": 5.0})
    records, store = RecipeRecords(config.load(file), state), LineStore(file)
    a, b = records.read("a", 1), records.read("b", 1)
    order = Change(AuditAction.ACTIVATE, "agent", "local", "order 7: new glass")
    with pytest.raises(UnavailableError, match="taken back"):
        records.record(order, a, b, lambda: False)
    assert not asyncio.run(store.was_put_in_force("b@1", "order 7"))
    records.record(order, a, b)
    same_words = Change(AuditAction.ROLLBACK, "inspectd", "local", "the record took longer than 2 s")
    records.record(same_words, b, a)
    assert asyncio.run(store.was_put_in_force("b@1", "order 7"))
