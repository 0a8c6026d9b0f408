"""The number of deaths: one more for each CONNECT, on the disk before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspectd.errors import InputError
from inspectd.gateways.sparkplug.death_number import DeathNumber


def test_each_connect_has_the_next_number_also_after_a_kill(tmp_path: Path) -> None:
    """tck-id-topics-nbirth-bdseq-increment."""
    file = tmp_path / "bdseq"
    numbers = []
    for _ in range(258):
        killed_after_this = DeathNumber(file)
        numbers.append(killed_after_this.take())
        assert int(file.read_text()) == numbers[-1]
    assert numbers == [*range(256), 0, 1]


def test_without_a_connect_the_number_stays(tmp_path: Path) -> None:
    number = DeathNumber(tmp_path / "bdseq")
    assert [number.take(), number.take()] == [0, 0]
    number.used()
    assert number.take() == 1


@pytest.mark.parametrize("text", ["", "256", "-1", "seven", "\xff", "9" * 5000])
def test_a_damaged_file_is_not_guessed(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bdseq"
    file.write_text(text, "latin-1")
    with pytest.raises(InputError, match="bdseq"):
        DeathNumber(file)
