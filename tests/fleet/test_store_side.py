"""What an agent says of the commands that it hands archives to the line's store by."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from support.changeovers import add_recipe, line_with_a_recipe
from support.daemon import camera_table, settings
from support.orders import an_order

from inspectd import config
from inspectd.cli.fleet_order import recipe_in
from inspectd.errors import UnavailableError
from inspectd.fleet.agent.order import RefusedOrderError
from inspectd.fleet.agent.store_side import LineStore
from inspectd.recipes.audit import AuditAction
from inspectd.recipes.store import RecipeDraft, RecipeStore
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
    assert asyncio.run(store.put_in_force_as("order 7")) is None
    records.record(order, a, b)
    same_words = Change(AuditAction.ROLLBACK, "inspectd", "local", "the record took longer than 2 s")
    records.record(same_words, b, a)
    assert asyncio.run(store.put_in_force_as("order 7")) == 1


def test_what_a_line_has_is_not_brought_again_from_an_archive_that_another_line_exported(
    tmp_path: Path, stub_bank: Path, good_folder: Path
) -> None:
    """An order is made of what a line has that got the recipe from here, as a way back may be."""
    file, state = line_with_a_recipe(tmp_path, stub_bank, good_folder)
    here, there = RecipeStore(state / "recipes"), RecipeStore(tmp_path / "there")
    here.export("a", 1, tmp_path / "a.zip")
    there.import_archive(tmp_path / "a.zip", who="otto")
    there.export("a", 1, tmp_path / "again.zip")
    own, store = here.read("a", 1), LineStore(file)
    for archive in ("a.zip", "again.zip"):
        recipe = recipe_in(tmp_path / archive)
        assert asyncio.run(store.version_of(recipe)) == (1, own.sha256)
    twin = here.add(
        RecipeDraft(
            id="a", number=1, cameras=own.cameras, who="anna",
            banks={name: here.folder("a", 1) / name for name in own.files},
        )
    )  # fmt: skip
    assert asyncio.run(store.version_of(recipe)) == (1, own.sha256)
    assert asyncio.run(store.look(recipe, twin.version)).version == twin.version


def test_only_what_the_store_says_of_an_archive_gives_an_order_up(tmp_path: Path) -> None:
    """A line's file that an editor has just begun to write says nothing of an order."""
    file, archive, recipe = tmp_path / "line1.toml", tmp_path / "cells.zip", an_order().recipe
    archive.write_bytes(b"PK\3\4 and nothing more")
    store = LineStore(file)
    for text in (None, "[line]\nname = "):
        if text is not None:
            file.write_text(text)
        for asked in (
            store.version_of(recipe),
            store.look(recipe, 1),
            store.bring(archive, recipe, "fleet", "order 1"),
        ):
            with pytest.raises(UnavailableError, match=r"line1\.toml: 1 problem"):
                asyncio.run(asked)
    file.write_text(
        settings("stub.bank", camera_table("top", tmp_path)).replace("[line]", '[line]\nstate_dir = "state"')
    )
    right = file.read_text()
    file.write_text(right.replace("[line]", "[metrics]\nporrt = 1\n[line]"))
    with pytest.raises(UnavailableError, match=r"line1\.toml: 1 problem"):
        asyncio.run(store.bring(archive, recipe, "fleet", "order 1"))
    file.write_text(right)
    with pytest.raises(RefusedOrderError, match=r"is refused by the line's store: .*cells\.zip"):
        asyncio.run(store.bring(archive, recipe, "fleet", "order 1"))
