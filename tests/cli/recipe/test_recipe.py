"""`inspectd recipe` as a person runs it."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.recipes import RECIPE_FILE, resealed, tree, zipped

from inspectd.bank.file import read_bank, write_bank
from inspectd.cli import line_folders
from inspectd.recipes.audit import AuditAction, AuditLog, InForce, format_in_force
from inspectd.recipes.store import RecipeStore


def store_of(folder: Path) -> RecipeStore:
    return RecipeStore(folder / "state" / "recipes")


def put_in_force(folder: Path, what: InForce, **more: str) -> None:
    with AuditLog(folder / "state" / "audit.jsonl", clock_ns=lambda: 1_764_000_000_000_000_000) as log:
        log.append(AuditAction.ACTIVATE, who="anna", door="local", new=format_in_force(what), **more)


def test_from_a_toml_file_to_another_line(folder, recipe, tmp_path_factory):
    done = recipe("import", folder / "cells.toml", "--why", "new glass")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "cells@1, number 12: imported, 2 cameras, 2 banks of 0.0 MB"
    assert "top: threshold 2.5: 0 of the bank's 40 good images score above it" in done.out
    made = store_of(folder).verify("cells", 1)
    assert (made.who, made.why) == (pwd.getpwuid(os.getuid()).pw_name, "new glass")
    top = made.cameras["top"]
    assert (top.bank, top.threshold, top.check_above) == ("banks/top.safetensors", 2.5, 2.0)
    assert top.bank_sha256 == read_bank(folder / "banks" / "a.safetensors").sha256
    out = folder / "cells.zip"
    assert recipe("export", "cells", "--out", out).out == f"cells@1: written to {out}, 0.0 MB\n"
    other = tmp_path_factory.mktemp("other") / "other.toml"
    other.write_text((folder / "line.toml").read_text())
    done = recipe("import", out, "--who", "otto", config=other)
    assert done.out.startswith("cells@1, number 12: imported")
    theirs = RecipeStore(other.parent / "state" / "recipes").verify("cells", 1)
    assert (theirs.cameras, theirs.files, theirs.origin) == (made.cameras, made.files, made.sha256)
    again = recipe("import", out, config=other)
    assert (again.code, again.err) == (2, f"error: {out}: holds cells@1, which is already here as cells@1\n")
    assert recipe("import", out, "--id", "wood", "--number", 7, "--why", "too", config=other).code == 0


def test_cameras_with_one_bank_share_one_copy(folder, recipe):
    (folder / "link.safetensors").symlink_to(folder / "banks" / "a.safetensors")
    (folder / "cells.toml").write_text(RECIPE_FILE.replace("banks/b.", "link."))
    assert "2 cameras, 1 bank " in recipe("import", folder / "cells.toml").out
    made = store_of(folder).verify("cells", 1)
    assert {camera.bank for camera in made.cameras.values()} == {"banks/top.safetensors"}


def test_options_go_before_the_file(folder, recipe):
    (folder / "cells.toml").write_text(RECIPE_FILE.replace('id = "cells"', "").replace("number = 12", ""))
    done = recipe("import", folder / "cells.toml")
    assert f"{folder}/cells.toml: id: is missing, expected it there or as --id" in done.err
    done = recipe("import", folder / "cells.toml", "--id", "glass")
    assert f"{folder}/cells.toml: number: is missing, expected it there or as --number" in done.err
    made = recipe("import", folder / "cells.toml", "--id", "glass", "--number", 5, "--who", "anna", "--json")
    assert (json.loads(made.out)["id"], json.loads(made.out)["number"]) == ("glass", 5)


def test_the_list_fits_80_columns_and_marks_what_is_in_force(folder, recipe):
    assert recipe("list").out == (
        "no recipe is in the store; `inspectd recipe import` makes one\n"
        "in force: the recipes of the configuration file\n"
    )
    why = "a reason that is much longer than any table"
    for options in (("--why", why), ("--why", why), ("--id", "n" * 60, "--number", 2, "--who", "w" * 40)):
        assert recipe("import", folder / "cells.toml", *options).code == 0
    first = store_of(folder).read("cells", 1)
    put_in_force(folder, InForce("cells", 1, first.sha256), why=why)
    lines = recipe("list").out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["recipe", "number", "versions", "in", "force", "created", "who", "why"]
    assert lines[1].split()[:4] == ["cells", "12", "1-2", "@1"]
    listed = [json.loads(line) for line in recipe("list", "--json").out.splitlines()]
    assert [(each["id"][:5], each["version"], each["in_force"]) for each in listed] == [
        ("cells", 1, True), ("cells", 2, False), ("nnnnn", 1, False),
    ]  # fmt: skip
    assert recipe("show", "cells@1").out.startswith("cells@1, number 12: intact, in force\n")
    history = recipe("history").out
    assert history.startswith(f"2025-11-24T16:00:00Z  cells@1 {first.sha256[:12]}  ")
    assert f"why: {why}" in history
    assert json.loads(recipe("history", "--json").out)["new"] == f"cells@1 {first.sha256}"


def test_another_version_of_the_same_name_is_not_what_is_in_force(folder, recipe):
    recipe("import", folder / "cells.toml")
    put_in_force(folder, InForce("cells", 1, "ab" * 32))
    out = recipe("list").out
    assert "@1" not in out.splitlines()[1]
    assert "in force: cells@1, which the store does not hold, or holds damaged" in out


def test_a_number_means_what_it_means_to_a_plc_and_a_name_comes_first(folder, recipe):
    recipe("import", folder / "cells.toml")
    recipe("import", folder / "cells.toml")
    assert recipe("activate", "cells@1").code == 0
    for words, means in ((("show", "12"), "cells@1,"), (("show", "12@2"), "cells@2,")):
        assert recipe(*words).out.startswith(means)
    assert recipe("activate", "12").out == "cells@1: in force already\n"
    recipe("import", folder / "cells.toml", "--id", "12", "--number", 5)
    assert recipe("show", "12").out.startswith("12@1, number 5")


def test_the_number_of_the_version_in_force_is_not_given_to_another_recipe(folder, recipe):
    first = json.loads(recipe("import", "--json", folder / "cells.toml").out)
    put_in_force(folder, InForce("cells", 1, first["sha256"]))
    second = json.loads(recipe("import", "--json", "--number", "13", folder / "cells.toml").out)
    refused = recipe("import", "--id", "glass", "--number", "12", folder / "cells.toml")
    assert refused.code == 2
    assert "number 12 is that of cells@1, by which cells was in force last" in refused.err
    assert "until cells@2 with number 13 is put in force" in refused.err
    assert store_of(folder).ids() == ["cells"]
    put_in_force(folder, InForce("cells", 2, second["sha256"]))
    assert recipe("import", "--id", "glass", "--number", "12", folder / "cells.toml").code == 0
    assert recipe("import", folder / "cells.toml", "--number", "12").code == 2  # it is that of glass now


def test_what_is_damaged_is_named_and_the_rest_is_shown(folder, recipe):
    recipe("import", folder / "cells.toml")
    recipe("import", folder / "cells.toml", "--id", "glass", "--number", 5)
    assert recipe("verify").out == "cells@1: intact\nglass@1: intact\n2 versions, 0 damaged\n"
    version = folder / "state" / "recipes" / "cells" / "1"
    (version / "banks" / "top.safetensors").chmod(0o644)
    (version / "banks" / "top.safetensors").write_bytes(b"")
    done = recipe("verify")
    assert done.code == 1
    assert "cells@1: DAMAGED: " in done.out
    assert done.out.endswith("2 versions, 1 damaged\n")
    assert recipe("verify", "glass").code == 0
    done = recipe("show", "cells")
    assert (done.code, "has 0 bytes, expected" in done.err) == (2, True)
    (version / "recipe.json").unlink()
    out = recipe("list").out
    assert "damaged: cells@1: " in out
    assert out.splitlines()[1].split() == ["cells", "?", "1", "damaged"]
    problems = [json.loads(line)["problem"] for line in recipe("verify", "--json").out.splitlines()]
    assert [problem is None for problem in problems] == [False, True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("activate", "cells", "--timeout", "nan"), "--timeout: got nan, expected seconds above 0"),
        (("show", "glass"), "has no recipe 'glass', expected one of: cells"),
        (("activate", "a"), "a is a recipe of the configuration file, and none of the store"),
        (("show", "7"), "no recipe has number 7; `inspectd recipe list` shows them"),
        (("show", "cells@2"), "is not there; versions of cells: 1"),
        (("show", "cells@x"), "got 'cells@x', expected ID or ID@VERSION such as cells@3"),
        (("show", "cells@"), "got 'cells@', expected ID or ID@VERSION"),
        (("show", "../x@1"), "expected the name of a recipe"),
        (("export", "cells", "--out", "/proc/x/y"), "cannot be written"),
        (("import", "nowhere"), "nowhere: cannot be read: No such file or directory"),
        (("import", "/dev/zero"), "/dev/zero: is not a regular file"),
        (("import", "cells.toml", "--who", "a\nb"), "its `who` holds characters that do not print"),
        (("import", "cells.toml", "--id", "glass"), "number 12 is that of cells, expected another one"),
        (("import", "cells.toml", "--number", "0"), "--number: got 0, expected a whole number >= 1"),
        (("import", "cells.toml", "--number", "1000"), "--number: got 1000, expected a whole number <= 999"),
        (("import", "cells.toml", "--id", "a/../b"), "--id: got 'a/../b', expected letters, digits, - and _"),
        (("import", "cells.toml", "--id", ""), "--id: got '', expected letters, digits, - and _"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_words(folder, recipe, words, said, monkeypatch):
    monkeypatch.chdir(folder)
    recipe("import", "cells.toml")
    before = tree(folder)
    done = recipe(*words)
    assert done.code in {2, 3}
    assert said in done.err
    assert tree(folder) == before


def test_an_import_of_an_archive_holds_no_bank_in_memory(folder, recipe):
    path, size = folder / "banks" / "a.safetensors", 16_000_000
    bank = read_bank(path)
    write_bank(path, bank.manifest, {**bank.tensors, "more": np.ones(size // 4, np.float32)})
    assert recipe("import", folder / "cells.toml").code == 0
    assert recipe("export", "cells", "--out", folder / "cells.zip").code == 0
    tracemalloc.start()
    try:
        assert recipe("import", folder / "cells.zip", "--id", "others", "--number", "13").code == 0
        assert tracemalloc.get_traced_memory()[1] < size / 2
    finally:
        tracemalloc.stop()


def test_an_archive_whose_banks_a_line_cannot_judge_by_is_refused(folder, recipe):
    """Archives that fit together, but are not of this line, or whose banks and thresholds are not usable."""
    recipe("import", folder / "cells.toml")
    version = folder / "state" / "recipes" / "cells" / "1"
    files = {str(path.relative_to(version)): path.read_bytes() for path in sorted(version.rglob("*.*"))}
    manifest = files.pop("recipe.json")

    def refused(
        change: Callable[[dict[str, dict[str, dict[str, object]]]], object], banks: dict[str, bytes]
    ) -> str:
        (folder / "odd.zip").write_bytes(
            zipped([("recipe.json", resealed(manifest, change)), *banks.items()])
        )
        before = tree(folder)
        done = recipe("import", folder / "odd.zip", "--id", "odd", "--number", 99)
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert "/.new-" not in done.err
        assert tree(folder) == before
        return done.err.removeprefix(f"error: {folder}/odd.zip: ")

    cells = msgspec.json.decode(manifest)["cameras"]
    assert refused(lambda fields: fields["cameras"].update(front=cells["top"]), files).startswith(
        "cameras: has a table for front, expected one for each camera of the line and no other: side, top"
    )
    assert refused(
        lambda fields: (fields["cameras"].pop("side"), fields["files"].pop("banks/side.safetensors")),
        {"banks/top.safetensors": files["banks/top.safetensors"]},
    ).startswith("cameras: has no table for side")
    assert "recipe odd, camera top: threshold 1000" in refused(
        lambda fields: fields["cameras"]["top"].update(threshold=1000.0), files
    )
    assert "bank banks/top.safetensors: has sha256" in refused(
        lambda fields: fields["cameras"]["top"].update(bank_sha256="ab" * 32), files
    )
    digest = {"sha256": "ab" * 32, "bytes": 7}
    assert "banks/top.safetensors: was altered" in refused(
        lambda fields: fields["files"].update({"banks/top.safetensors": digest}),
        files | {"banks/top.safetensors": b"no bank"},
    )
    digest = {"sha256": hashlib.sha256(b"no bank").hexdigest(), "bytes": 7}
    assert "bank banks/top.safetensors: is not a bank file" in refused(
        lambda fields: fields["files"].update({"banks/top.safetensors": digest}),
        files | {"banks/top.safetensors": b"no bank"},
    )


def test_under_systemd_the_state_is_where_the_unit_has_it(folder, recipe, monkeypatch):
    """Nobody gives a person's command $STATE_DIRECTORY; another folder would look like an empty store."""
    monkeypatch.setattr(line_folders, "_STATE", folder / "lib")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "home"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    config = folder / "line7.toml"
    config.write_text((folder / "line.toml").read_text().replace('state_dir = "state"', ""))
    recipe("import", folder / "cells.toml", config=config)
    assert (folder / "home" / "inspectd" / "plant" / "line1" / "recipes" / "cells").is_dir()
    (folder / "lib" / "line7").mkdir(parents=True)
    assert recipe("list", config=config).out.startswith("no recipe is in the store")
    recipe("import", folder / "cells.toml", config=config)
    assert (folder / "lib" / "line7" / "recipes" / "cells" / "1").is_dir()
    monkeypatch.setenv("STATE_DIRECTORY", str(folder / "home" / "inspectd" / "plant" / "line1"))
    recipe("import", folder / "cells.toml", config=config)
    assert (folder / "home" / "inspectd" / "plant" / "line1" / "recipes" / "cells" / "2").is_dir()


@pytest.mark.parametrize(
    ("own", "given", "said"),
    [
        ("exposure_us = 9000.0", "exposure_us = 5000", None),
        ("exposure_us = 9000.0", "", None),
        ("", "exposure_us = 5000", "cameras.side.exposure_us: got 5000, but the configuration file does"),
        ("exposure_us = 9000.0", "exposure_us = 0", "cameras.side.exposure_us: got 0, expected"),
    ],
)  # fmt: skip
def test_a_recipe_sets_a_camera_to_what_the_line_can(folder, recipe, own, given, said):
    (folder / "line.toml").write_text((folder / "line.toml").read_text() + own)
    (folder / "cells.toml").write_text(RECIPE_FILE + given)
    done = recipe("import", folder / "cells.toml")
    if said is not None:
        assert (done.code, said in done.err, store_of(folder).ids()) == (2, True, []), done.err
        return
    assert done.code == 0, done.err
    side = store_of(folder).verify("cells", 1).cameras["side"]
    assert (side.exposure_us, side.gain_db) == (5000.0 if given else None, None)
    written = json.loads((store_of(folder).folder("cells", 1) / "recipe.json").read_text())["cameras"]
    assert ("exposure_us" in written["side"], "exposure_us" in written["top"]) == (bool(given), False)
    shown = recipe("show", "cells").out
    assert f"exposure_us       {'5000.0' if given else 'the camera'}" in shown


def test_a_recipe_has_a_table_for_each_region_and_sets_their_camera_to_one_thing(folder, recipe):
    regions = "".join(
        f'[[cameras.regions]]\nname = "{name}"\nrectangle = {{left = 0, top = 0, width = 9, height = 9}}\n'
        for name in ("pin", "rim")
    )
    line = (folder / "line.toml").read_text()
    (folder / "line.toml").write_text(f"{line}exposure_us = 9000.0\n{regions}")
    done = recipe("import", folder / "cells.toml")
    assert "cameras: has no table for side/pin, side/rim, expected one for each camera" in done.err
    of_side = '[cameras."side/pin"]\nbank = "banks/b.safetensors"\nexposure_us = {}\n'
    text = RECIPE_FILE.replace("[cameras.side]", '[cameras."side/rim"]') + "exposure_us = 5000\n"
    (folder / "cells.toml").write_text(text + of_side.format(6000))
    done = recipe("import", folder / "cells.toml")
    said = "cameras.side/rim: is to be taken with exposure_us 5000, another region of the same frames with"
    assert (done.code, said in done.err, store_of(folder).ids()) == (2, True, []), done.err
    (folder / "cells.toml").write_text(text + of_side.format(5000))
    done = recipe("import", folder / "cells.toml")
    assert (done.code, "3 cameras, 2 banks" in done.out) == (0, True), done.err
    made = store_of(folder).verify("cells", 1)
    assert {place: camera.bank for place, camera in made.cameras.items()} == {
        "top": "banks/top.safetensors",
        "side/pin": "banks/side_rim.safetensors",
        "side/rim": "banks/side_rim.safetensors",
    }
    assert "side/pin" in recipe("show", "cells").out


def test_a_damaged_version_is_not_put_in_force_where_no_line_runs(folder, recipe):
    assert recipe("import", folder / "cells.toml").code == 0
    (bank, *_) = sorted((folder / "state" / "recipes" / "cells" / "1" / "banks").iterdir())
    data = bytearray(bank.read_bytes())
    bank.chmod(0o644)
    bank.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = recipe("activate", "cells")
    assert (done.code, "was altered" in done.err) == (2, True)
    assert "activate" not in recipe("history").out
    bank.write_bytes(data)
    assert recipe("activate", "cells").code == 0


def test_a_threshold_far_beyond_the_good_images_is_warned_of_unless_it_is_accepted(folder, recipe):
    text = (folder / "cells.toml").read_text()
    assert "warning" not in recipe("import", folder / "cells.toml").err
    far = text.replace("threshold = 2.5", "threshold = 3.2")
    (folder / "cells.toml").write_text(far)
    assert "warning: top: threshold 3.2 lies 3.4 times as far" in recipe("import", folder / "cells.toml").err
    accepted = far.replace("threshold = 3.2", "threshold = 3.2\naccept_threshold = true")
    (folder / "cells.toml").write_text(accepted)
    assert "warning" not in recipe("import", folder / "cells.toml").err


def test_a_bank_whose_weights_file_a_version_would_not_find_is_refused(folder, recipe):
    path, own = folder / "banks" / "a.safetensors", folder / "office" / "own.pth"
    bank = read_bank(path)
    write_bank(path, msgspec.structs.replace(bank.manifest, weights=str(own)), bank.tensors)
    (folder / "banks" / own.name).write_bytes(b"weights")  # beside the bank, where its copy does not find it
    refused = recipe("import", folder / "cells.toml")
    assert refused.code == 2
    assert "bank banks/" in refused.err
    assert "its weights file own.pth is not there" in refused.err
    assert f"where it was when the bank was built, {own}: put it there for good" in refused.err
    assert store_of(folder).ids() == []
    own.parent.mkdir()
    own.write_bytes(b"weights")
    assert recipe("import", folder / "cells.toml").code == 0


def test_a_zip_file_that_is_no_archive_is_called_so(folder, recipe):
    zipfile.ZipFile(folder / "empty.zip", "w").close()
    (folder / "nothing.zip").write_bytes(b"")
    for name in ("empty.zip", "nothing.zip"):
        done = recipe("import", folder / name)
        assert done.code == 2
        assert "no archive of `inspectd recipe export`" in done.err
