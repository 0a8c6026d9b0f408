"""Where a command's outcome cannot be written, it says so before the work."""

from __future__ import annotations

import pytest

from inspectd.cli import main
from inspectd.cli.outcome_files import (
    archive_to_write,
    bank_to_write,
    drawing_to_write,
    figures_to_write,
    file_to_write,
    page_to_write,
    picture_to_write,
)
from inspectd.errors import InputError, UnavailableError


def test_a_place_that_can_be_written_is_taken_and_nothing_is_made(tmp_path):
    for name in ("a.bank", "new/folder/a.bank"):
        assert file_to_write(str(tmp_path / name)) == tmp_path / name
    assert picture_to_write(str(tmp_path / "a.PNG")) == tmp_path / "a.PNG"
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(InputError, match="is a folder, expected the name of a file to write"):
        file_to_write(str(tmp_path))


@pytest.mark.parametrize("folder", ["/proc/nowhere", "file"])
def test_a_place_that_cannot_be_written_is_named_with_its_folder(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"a\.bank: cannot be written: folder "):
        file_to_write(str(tmp_path / folder / "a.bank"))


@pytest.mark.parametrize("name", ["a.txt", "a"])
def test_a_picture_has_a_name_that_says_its_format(tmp_path, name):
    with pytest.raises(InputError, match=r"expected a name ending in \.png or \.jpg"):
        picture_to_write(str(tmp_path / name))


KINDS = {
    bank_to_write: b'\x10\x00\x00\x00\x00\x00\x00\x00{"__metadata__":{"inspectd":"',
    page_to_write: b"<!doctype html><html>",
    drawing_to_write: b"<svg xmlns",
    archive_to_write: b"PK\x03\x04recipe.json",
    figures_to_write: b'{\n  "captured": 1',
    picture_to_write: b"\x89PNG\r\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_file_of_its_own_kind_is_replaced(tmp_path, kind):
    place = tmp_path / "outcome.png"
    for content in (b"", KINDS[kind]):
        place.write_bytes(content)
        assert kind(str(place)) == place
    for content in (
        b'[line]\nname = "line1"\n',
        b"notes",
        *(KINDS[other] for other in KINDS if other is not kind),
    ):
        place.write_bytes(content)
        with pytest.raises(InputError, match=r"is there already and is no [a-z]+, so it is not replaced"):
            kind(str(place))
        assert place.read_bytes() == content


def test_a_settings_file_is_no_place_for_a_bank(tmp_path, capsys):
    file = tmp_path / "line1.toml"
    file.write_text("[line]\n")
    assert main(["bank", "build", "--images", str(tmp_path), "--out", str(file)]) == 2
    assert "line1.toml: is there already and is no bank, so it is not replaced" in capsys.readouterr().err
    assert file.read_text() == "[line]\n"


@pytest.mark.parametrize(
    "command",
    [
        ["bank", "build", "--images", "nowhere", "--out"],
        ["bank", "evaluate", "nowhere.bank", "--data", "nowhere", "--report"],
        ["bank", "sensitivity", "nowhere.bank", "--images", "nowhere", "--report"],
        ["bank", "compare", "nowhere.bank", "--data", "nowhere", "--report"],
        ["explain", "nowhere", "--bank", "nowhere.bank", "--out"],
    ],
)
def test_commands_refuse_it_before_they_read_anything(command, capsys):
    assert main([*command, "/proc/nowhere/outcome.png"]) == 3
    assert "error: /proc/nowhere/outcome.png: cannot be written: folder /proc: " in capsys.readouterr().err


def test_without_a_command_all_are_listed(capsys):
    assert main([]) == 2
    assert "write a commented example configuration" in capsys.readouterr().err


def test_a_place_that_cannot_be_looked_at_is_said(tmp_path):
    """A name too long for a file stands for a folder without rights, which root does not know."""
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        file_to_write(str(tmp_path / ("x" * 300) / "a.bank"))
