"""What a recipe's TOML file may hold that no recipe can be made of: told in words, and nothing changes."""

from __future__ import annotations

import pytest
from support.recipes import RECIPE_FILE, tree

WRONG = {
    "nothing": "", "no cameras": 'id = "x"\nnumber = 1\n', "empty cameras": "number = 1\n[cameras]\n",
    "cameras are a list": "cameras = []", "cameras are a text": 'cameras = "top"', "no TOML": "[cameras",
    "arrays 5000 deep": "a = " + "[" * 5000, "a number of 5000 digits": "number = " + "9" * 5000,
    "nul": "\0", "twice": RECIPE_FILE + "[cameras.top]\n", "too large": "#" * 1_000_001,
    **{f"{key} {value:.30}": RECIPE_FILE.replace(old, f"{key} = {value}") for key, old, values in (
        ("id", 'id = "cells"', ('""', '"../x"', '"a b"', '"file"', '"a\\n"', "5", "[]", f'"{"a" * 64}"')),
        ("number", "number = 12", ("0", "1000", "-1", '"12"', "1.5", "true", "nan", "0x" + "f" * 5000)),
        ("threshold", "threshold = 2.5", ("nan", "inf", "-inf", '"2.5"', "1e301", "true", "[2.5]", "1000",
                                           "1979-05-27")),
        ("check_above", "check_above = 2", ("2.5", "3", "nan", '"2"')),
        ("bank", 'bank = "banks/b.safetensors"', (
            '""', "5", '"nowhere"', '"banks"', '"cells.toml"', '"/dev/zero"', '"/dev/null"', '"a\\u0000b"',
            f'"{"x" * 5000}"', f'"{"x" * 300}"')),
    ) for value in values},
    **{f"unknown {key}": RECIPE_FILE.replace("number = 12", f"number = 12\n{key} = 1")
       for key in ("name", "version", "sha256")},
    **{f"camera's {key}": RECIPE_FILE.replace("threshold = 2.5", f"{key} = {value}") for key, value in (
        ("name", '"top"'), ("bank_sha256", f'"{"a" * 64}"'), ("deadline_ms", "0"),
        ("deadline_ms ", '"5"'), ("any_size", "1"),
        ("accept_threshold", '"yes"'), ("thresold", "2.5"))},
    **{f"camera {name:.20}": RECIPE_FILE.replace("cameras.top", f"cameras.{name}") for name in (
        "front", '""', '"../top"', '"top\\n"', f'"{"t" * 64}"', "top.more", '"\\u001b[31m"')},
    "no table for side": RECIPE_FILE[: RECIPE_FILE.index("[cameras.side]")],
    "one more camera": RECIPE_FILE + '[cameras.front]\nbank = "banks/a.safetensors"\n',
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_file_no_recipe_can_be_made_of_changes_nothing(folder, recipe, text):
    recipe("import", folder / "cells.toml", "--id", "glass", "--number", 5)
    (folder / "wrong.toml").write_text(text)
    before = tree(folder)
    done = recipe("import", folder / "wrong.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert len(done.err) < 2500
    assert all(line.isprintable() for line in done.err.splitlines())
    assert tree(folder) == before


@pytest.mark.parametrize("at", range(0, 2700, 150))
def test_a_bank_that_is_damaged_is_refused_by_its_name(folder, recipe, at):
    bank = folder / "banks" / "b.safetensors"
    data = bank.read_bytes()
    for damaged in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
        bank.write_bytes(damaged)
        done = recipe("import", folder / "cells.toml")
        assert (done.code, str(bank) in done.err) == (2, True)
        assert not (folder / "state").exists()
