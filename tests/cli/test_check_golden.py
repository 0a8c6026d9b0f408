"""What `inspectd check` says of golden parts, and of the evidence."""

from __future__ import annotations

from support.changeovers import add_recipe, line_with_a_recipe
from support.daemon import camera_table, settings

from inspectd.recipes.audit import AuditAction, AuditLog, InForce, format_in_force
from inspectd.recipes.store import RecipeStore


def test_a_golden_part_of_no_recipe_is_warned_of(inspectd, tmp_path, bank_file, good_folder):
    file, state = tmp_path / "line.toml", tmp_path / "state"
    parts = "".join(
        f'[[golden.parts]]\nname = "{name}"\nrecipe = "{name}"\nexpect = "pass"\n'
        for name in ("cell", "b", "c")
    )
    text = settings(bank_file, camera_table("cam", good_folder)) + parts
    file.write_text(text.replace("[line]", '[line]\nstate_dir = "state"'))
    (state / "recipes").mkdir(parents=True)
    add_recipe(state, "b", 1, {"cam": 5.0})
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    expect, warning = [line for line in done.stderr.splitlines() if "golden" in line]
    assert 'recipe cell has no part with expect = "fail", so a line that passes everything would' in expect
    assert "golden.parts[2].recipe: 'c' is in neither this file nor the store" in warning
    assert warning.endswith("these are there: b, cell")


def test_what_golden_parts_do_not_prove_is_warned_of(inspectd, tmp_path, bank_file, good_folder):
    judged_by = {"top": "cell", "side": "cell", "back": "other", "left": "third"}
    cameras = "".join(camera_table(name, good_folder, recipe=recipe) for name, recipe in judged_by.items())
    recipes = "".join(f'[[recipes]]\nname = "{name}"\nbank = "{bank_file}"\n' for name in ("other", "third"))
    parts = "".join(
        f'[[golden.parts]]\nname = "{name}"\nrecipe = "{recipe}"\nexpect = "{expect}"\n'
        f'cameras = ["{camera}"]\n'
        for name, recipe, expect, camera in (
            ("good", "cell", "pass", "side"),
            ("bad", "cell", "fail", "side"),
            ("odd", "other", "fail", "top"),
        )
    )
    file = tmp_path / "line.toml"
    file.write_text(settings(bank_file, cameras + recipes) + parts)
    done = inspectd("check", file)
    assert done.returncode == 2
    said = [line.strip() for line in done.stderr.splitlines() if " golden.parts" in line]
    no_good_part = (
        'recipe other has no part with expect = "pass", so a line that passes nothing would pass its checks'
    )
    wrong_camera = (
        "golden.parts[2].cameras: top is judged by recipe cell, expected cameras that are judged by other, "
        "the part's own"
    )
    assert said == [
        "warning: golden.parts: no part of recipe cell is shown to top, which judges by it",
        f"warning: golden.parts: {no_good_part}",
        "warning: golden.parts: no part of recipe other is shown to back, which judges by it",
        "warning: golden.parts: recipe third has none: its parts are judged without checks",
        wrong_camera,
    ]


def test_a_band_of_scores_that_no_check_can_pass_by_is_found(inspectd, tmp_path, bank_file, good_folder):
    file, _ = line_with_a_recipe(tmp_path, bank_file, good_folder)
    text = file.read_text()
    for expect, band, wrong in (
        ("fail", "score_max = 0.5", "is 0.5, expected above the threshold of recipe"),
        ("pass", "score_min = 1e6", "is 1e+06, expected at most the threshold of recipe"),
    ):
        part = f'[[golden.parts]]\nname = "g"\nrecipe = "cell"\nexpect = "{expect}"\n{band}\n'
        file.write_text(f"{text}\n{part}")
        done = inspectd("check", file)
        assert (done.returncode, wrong in done.stderr) == (2, True), done.stderr


def test_evidence_of_another_line_and_a_recipe_in_force_without_golden_parts_are_told(
    inspectd, tmp_path, bank_file, good_folder, monkeypatch
):
    file, state = line_with_a_recipe(tmp_path, bank_file, good_folder)
    part = '[[golden.parts]]\nname = "g"\nrecipe = "cell"\nexpect = "fail"\n'
    file.write_text(file.read_text().replace("enabled = false", f'dir = "{tmp_path}/kept"', 1) + part)
    with AuditLog(state / "audit.jsonl") as log:
        in_force = InForce("a", 1, RecipeStore(state / "recipes").read("a", 1).sha256)
        log.append(AuditAction.ACTIVATE, who="anna", door="local", new=format_in_force(in_force))
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    assert "warning: golden.parts: recipe a@1 in force has none: its parts are judged without" in done.stderr
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/.line").write_text("test/other\n")
    done = inspectd("check", file)
    assert done.returncode == 2
    assert f"evidence.dir: {tmp_path}/kept has the evidence of line test/other, expected" in done.stderr
    monkeypatch.setenv("INSPECTD_LINE", "line9")
    assert "line.name: got 'line', expected 'line9'" in inspectd("check", file, "--settings-only").stderr
