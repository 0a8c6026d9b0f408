"""`inspectd bank compare` finds what is wrong with any of its banks before the first one takes minutes."""

from pathlib import Path

import pytest

from inspectd import cli


def test_a_bank_that_cannot_be_read_is_told_before_any_is_evaluated(
    bank_file: Path, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bank", "compare", bank_file, tmp_path / "gone.bank", "--data", mixed_folder]
    assert cli.main([str(word) for word in words]) != 0
    told = capsys.readouterr().err
    assert "gone.bank: cannot be read: No such file" in told
    assert "40/40" not in told  # images of the bank before it
