"""What `inspectd check` finds in the state of a line: its recipe store, audit file and journal."""

from __future__ import annotations

import re

from support.changeovers import add_recipe, line_with_a_recipe
from support.command import inspectd as process_of
from support.daemon import camera_table, settings
from support.ordinary import run_without_rights

from inspectd.publish.journal.file import MARK_NAME, Mark
from inspectd.recipes.audit import AuditAction, AuditLog, InForce, format_in_force
from inspectd.recipes.store import RecipeStore


def test_recipes_of_the_store_that_the_cameras_cannot_be_set_for_are_found(
    inspectd, tmp_path, bank_file, good_folder
):
    file, state = tmp_path / "line.toml", tmp_path / "state"
    text = settings(bank_file, camera_table("cam", good_folder)).replace(
        "[line]", '[line]\nstate_dir = "state"'
    )
    file.write_text(text)
    (state / "recipes").mkdir(parents=True)
    add_recipe(state, "a", 1, {"cam": 5.0}, exposures_us={"cam": 5000.0})
    done = inspectd("check", file)
    assert (done.returncode, "warning: recipe a@1 does not fit the line: cameras.cam.exp" in done.stderr) == (
        0,
        True,
    )
    sha256 = RecipeStore(state / "recipes").read("a", 1).sha256
    with AuditLog(state / "audit.jsonl") as log:
        log.append(
            AuditAction.ACTIVATE, who="anna", door="local", new=format_in_force(InForce("a", 1, sha256))
        )
    done = inspectd("check", file)
    assert (done.returncode, "recipe a@1 is in force by" in done.stderr) == (2, True)


def test_the_recipe_in_force_is_named_and_every_byte_of_its_banks_is_read(
    inspectd, tmp_path, bank_file, good_folder
):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    store = RecipeStore(state / "recipes")
    with AuditLog(state / "audit.jsonl") as log:
        in_force = InForce("a", 1, store.read("a", 1).sha256)
        log.append(AuditAction.ACTIVATE, who="anna", door="local", new=format_in_force(in_force))
    (store.folder("a", 1) / "note.txt").write_text("nothing that is judged by")
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "in force: a@1 of the recipe store, not the recipes of this file" in done.stdout
    (bank,) = (store.folder("a", 1) / "banks").iterdir()
    data = bytearray(bank.read_bytes())
    data[-1] ^= 1
    bank.chmod(0o644)
    bank.write_bytes(data)
    done = inspectd("check", file)
    assert done.returncode == 2
    assert re.search(r"a@1 is in force by .*, and cannot be used: .*altered.*recipe activate", done.stderr)


def test_an_audit_file_that_was_emptied_puts_no_other_recipe_in_force(
    inspectd, tmp_path, bank_file, good_folder
):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    assert inspectd("recipe", "activate", "a", "--config", file).returncode == 0
    (state / "audit.jsonl").write_bytes(b"")
    for give, *words in (
        (inspectd, "check", file),
        (process_of, "run", file),
        (inspectd, "recipe", "list", "--config", file),
    ):
        done = give(*words)
        assert done.returncode == 2
        assert "record 1, which put a@1 in force, is gone" in done.stderr
        assert "inspectd recipe activate ID@VERSION (or file)" in done.stderr
    assert re.search(r"a +1 +1", done.stdout)  # which ID and VERSION there are
    done = inspectd("audit", "--verify", "--config", file)
    assert (done.returncode, "record 1, which put a@1 in force, is gone" in done.stderr) == (1, True)
    assert inspectd("recipe", "activate", "a", "--config", file).returncode == 0
    assert inspectd("check", file).returncode == 0
    done = inspectd("recipe", "rollback", "--config", file)
    assert done.returncode == 2
    assert "record 1 was made where nobody knew what was in force before" in done.stderr


def test_the_state_of_another_line_is_refused(inspectd, tmp_path, bank_file, good_folder):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    mark = Mark(state / MARK_NAME)
    mark.write_line("demo/press6")
    mark.close()
    for give, word in ((inspectd, "check"), (process_of, "run")):
        done = give(word, file)
        assert done.returncode == 2
        assert re.search(
            "has the journal of line demo/press6, expected that of .*If the line was renamed", done.stderr
        )
    (state / MARK_NAME).unlink()
    assert inspectd("check", file).returncode == 0


def test_a_state_that_the_line_cannot_write_is_found(inspectd, tmp_path, bank_file, good_folder):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    text = file.read_text()
    (tmp_path / "a file").write_text("no directory")
    file.write_text(text.replace('state_dir = "state"', 'state_dir = "a file/state"'))
    done = inspectd("check", file)
    assert done.returncode == 2
    assert "a file is no directory; choose one that the line's user may write" in done.stderr
    file.write_text(text)
    (state / "journal.sqlite").write_bytes(b"")
    (state / "journal.sqlite").chmod(0o400)
    said = run_without_rights(
        "import runpy, sys; sys.argv[0:1] = ['inspectd', 'check']; sys.stderr = sys.stdout\n"
        "try: runpy.run_module('inspectd', run_name='__main__')\n"
        "except SystemExit as end: print(end.code)",
        file,
    )
    assert re.search(r"journal\.sqlite belongs to user \d+ and cannot be written by user \d+; give it", said)
    assert said.endswith("\n2\n")


def test_a_journal_whose_disk_is_away_is_a_problem(inspectd, tmp_path, bank_file, good_folder):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    (state / "journal.sqlite").symlink_to(tmp_path / "disk" / "journal.sqlite")
    done = inspectd("check", file)
    assert done.returncode == 2
    assert f"journal.sqlite is a link to {tmp_path}/disk/journal.sqlite, which cannot be seen" in done.stderr
    (tmp_path / "disk").mkdir()  # where the line makes it
    assert inspectd("check", file).returncode == 0
